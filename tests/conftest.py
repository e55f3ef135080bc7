"""Fixtures for all tests. Servers are always real, on free ports of 127.0.0.1."""

from __future__ import annotations

import gc
import inspect
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import hypothesis
import pytest
import trio

from .support import prepared
from .support.logged_errors import errors_fail
from .support.system_packages import skip_where_missing
from .support.time_limits import limited

EXIT_TIMEOUT_SEC = 60
TEST_SEC = 300
LONG_TEST_SEC = 1500
"""Far longer than a test takes under four times the usual load; pyproject.toml has a longer limit still."""

# How long an example takes to run, or to generate, depends only on the machine's other load.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# The same examples each time, so that only the code decides whether the tests pass.
hypothesis.settings.register_profile("same", PATIENT, derandomize=True, database=None)
# Other examples each time, and more of them. Add any failure that this finds as an @example.
hypothesis.settings.register_profile(
    "fresh", PATIENT, derandomize=False, database=None, max_examples=400, print_blob=True
)
hypothesis.settings.load_profile("same")


@attrs.frozen
class RunningServer:
    """A signaling server that accepts connections.

    Attributes:
        process: The process that it runs in, or None for the test's own process.
        log: The file with that process's standard error.
    """

    ws_url: str
    http_url: str
    state_dir: Path
    process: prepared.Process | None = None
    log: Path | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Gives each asynchronous test its limit; one with examples, for each of them."""
    if not isinstance(item, pytest.Function):
        return
    is_long = any(item.iter_markers("train")) or any(item.iter_markers("soak"))
    limit_sec = LONG_TEST_SEC if is_long else TEST_SEC
    property_test = getattr(item.obj, "hypothesis", None)
    if property_test is not None and inspect.iscoroutinefunction(property_test.inner_test):
        property_test.inner_test = limited(property_test.inner_test, limit_sec)
    elif inspect.iscoroutinefunction(item.obj):
        item.obj = limited(item.obj, limit_sec)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs a program that isn't installed."""
    skip_where_missing(item)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Excludes the objects that all tests share from garbage collection after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_unexpected_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which an error was logged, other than those that its mark ``logs_error`` names."""
    with errors_fail(request.node):
        yield


@pytest.fixture(autouse=True)
def own_garbage(no_unexpected_errors: None) -> Iterator[None]:
    """Collects a test\'s garbage before the next test runs: the first fixture is the last to end."""
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def later_imports() -> Iterator[None]:
    """Excludes modules that tests import as they run, too; they would cost 15 ms after each test."""
    yield
    gc.collect()
    gc.freeze()


StartServer = Callable[..., Awaitable[RunningServer]]


@pytest.fixture
async def start_server(nursery: trio.Nursery, tmp_path: Path) -> StartServer:
    """Starts a server in the test's nursery: `await start_server(room_ttl_sec=1, …)`."""
    from sleaprtc.server.serve import serve
    from sleaprtc.server.settings import ServerSettings

    async def start(*, stop: trio.Event | None = None, **changes: Any) -> RunningServer:
        defaults: dict[str, Any] = {"state_dir": tmp_path / "server", "ws_port": 0, "http_port": 0}
        settings = ServerSettings(**{**defaults, **changes})
        addresses = await nursery.start(partial(serve, settings, stop=trio.Event() if stop is None else stop))
        return RunningServer(addresses.ws_url, addresses.http_url, settings.state_dir)

    return start


@pytest.fixture
async def server(start_server: StartServer) -> RunningServer:
    """A server in the test's nursery, for tests that run under Trio."""
    return await start_server()


@contextmanager
def running_server(state_dir: Path, *options: str, descriptors: int | None = None) -> Iterator[RunningServer]:
    """Runs a server in a process of its own during the block, with a limit of ``descriptors`` if given."""
    log = state_dir.with_name(f"{state_dir.name}.log")
    ports = ("--ws-port", "0", "--http-port", "0")
    with (
        log.open("a") as stderr,
        prepared.popen(
            "sleaprtc.server",
            *(*ports, "--state-dir", state_dir, *options),
            env=os.environ,
            stderr=stderr,
            descriptors=descriptors,
        ) as process,
    ):
        try:
            ready = process.stdout.readline().split()
            assert ready[:1] == ["ready"], log.read_text()
            addresses = dict(word.split("=", 1) for word in ready[1:])
            yield RunningServer(addresses["ws"], addresses["http"], state_dir, process, log)
        except BaseException:
            print(f"The server's log, with exit status {process.poll()}:\n{log.read_text()}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(EXIT_TIMEOUT_SEC)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session", autouse=True)
def end_of_prepared_programs() -> Iterator[None]:
    """Ends the process that programs are forked from, if any was."""
    yield
    prepared.SERVER.end()


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server process for all tests that neither change its settings nor end it."""
    with running_server(tmp_path_factory.mktemp("signaling") / "state") as running:
        yield running


@pytest.fixture
async def lab(server: RunningServer, tmp_path: Path) -> Any:
    """A room on a running server, to put workers and clients into."""
    from .support.lab import open_lab

    return await open_lab(server, tmp_path)


@pytest.fixture(scope="session", autouse=True)
def no_state_dir_of_the_user_s(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps module-scoped fixtures, which run before any test, out of the user's own state folder, too."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLEAP_RTC_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def own_state_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps clients' records of their jobs out of the user's own state folder."""
    path = tmp_path_factory.mktemp("client-state")
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(path))
    return path


@pytest.fixture(autouse=True)
def no_size_but_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the terminal size that pytest-xdist sets for all of its processes."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
