"""Programs of this package as processes that have done their imports already.

Each is a process of its own, with its own environment, output and exit status. It is forked from one that has
imported what the programs import, so that hundreds of starts take seconds and not minutes. An interpreter is
started after all for variables that it reads at its start, and by tests of imports and of installed commands.

:func:`popen`, :func:`run` and :func:`start` ask ``python -m tests.support.prepared SOCKET`` for a process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, Self

import trio

ROOT = Path(__file__).parents[2]
NEEDED = (
    "sleaprtc.client.__main__",
    "sleaprtc.client.commands.jobs",
    "sleaprtc.client.commands.rooms",
    "sleaprtc.client.commands.track",
    "sleaprtc.client.commands.train",
    "sleaprtc.client.commands.workers",
    "sleaprtc.client.display.several",
    "sleaprtc.client.jobs.attach",
    "sleaprtc.client.jobs.track",
    "sleaprtc.client.jobs.train",
    "sleaprtc.doctor.__main__",
    "sleaprtc.doctor.examination",
    "sleaprtc.rtc.engines.aiortc_engine",
    "sleaprtc.server.__main__",
    "sleaprtc.server.serve",
    "sleaprtc.worker.__main__",
    "sleaprtc.worker.program",
)
MAX_REQUEST_BYTES = 2**18
AT_START = ("LD_", "LC_", "PYTHON")
"""How the variables begin that the dynamic linker and the interpreter read once."""
STATUS = struct.Struct("!i")
PATIENCE_SEC = 120


def serve(path: str) -> NoReturn:
    """Forks a process for each connection to this socket."""
    for name in NEEDED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.startswith("sleaprtc.") and name.endswith(".__main__")]:
        del sys.modules[name]  # it is run as ``__main__``, as ``python -m`` does it
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _look_after(connection)
            os._exit(0)
        connection.close()


def _look_after(connection: socket.socket) -> None:
    """Starts the program that is asked for, and sends its pid and, when it has ended, its status."""
    request, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 3)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(request), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(STATUS.pack(pid))
    _, status = os.waitpid(pid, 0)
    connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def needs_start(environment: Mapping[str, str]) -> bool:
    """Whether an environment has what takes effect only when an interpreter starts."""
    return any(
        name.startswith(AT_START) and value != os.environ.get(name) for name, value in environment.items()
    )


def _become(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Becomes the program."""
    status: object = 1
    try:
        folder, out, err = descriptors
        os.fchdir(folder)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for descriptor in descriptors:
            os.close(descriptor)
        if needs_start(request["env"]):
            words = [sys.executable, "-m", request["module"], *request["words"]]
            os.execve(sys.executable, words, request["env"])
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")  # buffered, as a pipe is: who flushes is seen
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        os.environ.clear()
        os.environ.update(request["env"])
        if request["descriptors"] is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (request["descriptors"],) * 2)
        sys.argv = ["-m", *request["words"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ending:
        status = ending.code
        if status is not None and not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)


class _Server:
    """The process that the others are forked from; it's started when the first of them is asked for."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def connect(self) -> socket.socket:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        path = f"{self._folder.name}/socket"
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.prepared", path],
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_SEC)
        connection.connect(path)
        return connection

    def end(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


SERVER = _Server()


def _ask(
    module: str,
    words: Sequence[object],
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None,
    descriptors: int | None,
    outputs: tuple[int, int],
) -> tuple[int, socket.socket]:
    """Returns a new process' id, and the connection on which its status comes."""
    request = {"module": module, "words": [str(word) for word in words], "env": dict(env)}
    data = json.dumps({**request, "descriptors": descriptors}).encode()
    connection = SERVER.connect()
    folder = os.open(cwd or ".", os.O_RDONLY | os.O_DIRECTORY)  # "." may be gone, and still be where one is
    try:
        socket.send_fds(connection, [data], [folder, *outputs])
    finally:
        os.close(folder)
    return _status(connection), connection


def _status(connection: socket.socket) -> int:
    received = connection.recv(STATUS.size, socket.MSG_WAITALL)
    assert len(received) == STATUS.size, "the process that looks after the program is gone"
    return int(STATUS.unpack(received)[0])


class Process:
    """A program that runs, with what tests use of a :class:`subprocess.Popen`."""

    def __init__(self, pid: int, connection: socket.socket, stdout: IO[str], stderr: IO[str] | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self.connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        if self.stderr is not None:
            self.stderr.close()
        self.wait()

    def poll(self) -> int | None:
        """Returns the exit status, or None while it runs."""
        if self.returncode is None and select.select([self.connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it has ended.

        Raises:
            subprocess.TimeoutExpired: It hasn't, in this time.
        """
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                self.returncode = _status(self.connection)
            except TimeoutError:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self.connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


def popen(
    module: str,
    *words: object,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    stderr: int | IO[Any] = subprocess.PIPE,
    descriptors: int | None = None,
) -> Process:
    """Starts ``python -m MODULE WORDS``.

    Args:
        module: A module of the package, or of the tests.
        words: Its arguments.
        env: Its environment.
        cwd: Its working directory, by default the test's own.
        stderr: A pipe, a file, or ``subprocess.STDOUT``.
        descriptors: How many files and sockets it may have open.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = None, out_write
    if stderr == subprocess.PIPE:
        err_read, err_write = os.pipe()
    elif not isinstance(stderr, int):
        err_write = stderr.fileno()
    try:
        pid, connection = _ask(module, words, env, cwd, descriptors, (out_write, err_write))
    finally:
        os.close(out_write)
        if err_read is not None:
            os.close(err_write)
    errors = None if err_read is None else os.fdopen(err_read, encoding="utf-8")
    return Process(pid, connection, os.fdopen(out_read, encoding="utf-8"), errors)


def run(
    module: str,
    *words: object,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    timeout: float = PATIENCE_SEC,
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m MODULE WORDS`` to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid, connection = _ask(module, words, env, cwd, None, (out.fileno(), err.fileno()))
        with Process(pid, connection, out, err) as process:
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([module, *words], status, out.read(), err.read())


async def run_async(
    module: str, *words: object, env: Mapping[str, str], cwd: str | os.PathLike[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Does the same beside a test under Trio."""
    return await trio.to_thread.run_sync(lambda: run(module, *words, env=env, cwd=cwd))


class AsyncProcess:
    """A program that runs beside a test under Trio: its pid, its output, and how it ended."""

    def __init__(self, process: Process) -> None:
        self.pid = process.pid
        self.stdout = trio.lowlevel.FdStream(os.dup(process.stdout.fileno()))
        assert process.stderr is not None
        self.stderr = trio.lowlevel.FdStream(os.dup(process.stderr.fileno()))
        process.stdout.close()
        process.stderr.close()
        self._process = process

    @property
    def returncode(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    async def wait(self) -> int:
        """Waits until it has ended."""
        if self._process.returncode is None:
            await trio.lowlevel.wait_readable(self._process.connection)
        return self._process.wait()

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        self._process.send_signal(number)


async def start(
    module: str, *words: object, env: Mapping[str, str], cwd: str | os.PathLike[str] | None = None
) -> AsyncProcess:
    """Starts ``python -m MODULE WORDS`` beside a test under Trio."""
    return AsyncProcess(await trio.to_thread.run_sync(lambda: popen(module, *words, env=env, cwd=cwd)))


if __name__ == "__main__":
    serve(sys.argv[1])
