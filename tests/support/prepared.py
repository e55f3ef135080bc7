"""Processes of ``sleap-rtc client`` that have done their imports already.

Each command is a process of its own, with its own environment, output and exit status; it is forked from one
that has imported what commands import, so that dozens of them take seconds and not minutes.

``python -m tests.everyday.prepared SOCKET`` serves; :func:`start` asks for a process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import struct
import sys
import traceback

import trio

NEEDED = (
    "client.__main__",
    "client.actions.ask",
    "client.actions.attach",
    "client.actions.jobs",
    "client.actions.train",
    "client.commands.jobs",
    "client.commands.train",
    "rtc.engines.aiortc_engine",
)
MAX_REQUEST_BYTES = 2**18
STATUS = struct.Struct("!i")


def serve(path):
    for name in NEEDED:
        importlib.import_module(f"sleaprtc.{name}")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            look_after(connection)
            os._exit(0)
        connection.close()


def look_after(connection):
    """Starts the command that is asked for, and tells its pid and, when it has ended, its status."""
    request, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 2)
    pid = os.fork()
    if pid == 0:
        connection.close()
        run(json.loads(request), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(STATUS.pack(pid))
    _, status = os.waitpid(pid, 0)
    connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def run(request, descriptors):
    """Becomes the command."""
    status = 1
    try:
        for number, descriptor in enumerate(descriptors, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = ["sleap-rtc client", *request["words"]]
        from sleaprtc.client.__main__ import main

        main()
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


class Process:
    """A command that was started: its pid, its output, and how it ended."""

    def __init__(self, pid, connection, stdout, stderr):
        self.pid = pid
        self._connection = connection
        self.stdout = stdout
        self.stderr = stderr
        self.returncode = None

    async def wait(self):
        if self.returncode is None:
            self.returncode = await _status(self._connection)
            self._connection.close()
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)


async def _status(connection):
    received = b""
    while len(received) < STATUS.size:
        part = await connection.recv(STATUS.size - len(received))
        assert part, "the process that looks after the command is gone"
        received += part
    return STATUS.unpack(received)[0]


async def start(path, words, env, cwd):
    """Starts ``sleap-rtc client WORDS``."""
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    with trio.socket.socket(socket.AF_UNIX) as connection:
        await connection.connect(path)
        request = json.dumps({"words": list(map(str, words)), "env": env, "cwd": str(cwd)}).encode()
        descriptors = struct.pack("2i", out_write, err_write)
        await connection.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        os.close(out_write)
        os.close(err_write)
        pid = await _status(connection)
        kept = trio.socket.from_stdlib_socket(socket.socket(fileno=connection.detach()))
    return Process(pid, kept, trio.lowlevel.FdStream(out_read), trio.lowlevel.FdStream(err_read))


if __name__ == "__main__":
    serve(sys.argv[1])
