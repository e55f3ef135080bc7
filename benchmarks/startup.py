"""``python -m benchmarks.startup``: measures how long commands take to start their work."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import click
import trio

from sleaprtc.server.serve import serve
from sleaprtc.server.settings import ServerSettings
from tests.support.lab import Lab, make_labels, open_lab

from .report import Report, alternate, median_of

PATIENCE_SEC = 60
SLEAP_RTC = str(Path(sysconfig.get_path("scripts")) / "sleap-rtc")
HEAVY_MODULES = {"aiortc", "asyncio", "h5py", "numpy", "quart", "sleap_io", "sleap_nn", "torch"}
DATASET_BYTES = 4 * 2**20


def environment(lab: Lab) -> dict[str, str]:
    """Returns the environment for commands that use this lab's room."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}
    return {
        **own,
        "SLEAP_RTC_SIGNALING_WS": lab.endpoints.ws_url,
        "SLEAP_RTC_SIGNALING_HTTP": lab.endpoints.http_url,
        "SLEAP_RTC_ROOM_ID": lab.room.room_id,  # type: ignore[attr-defined]
        "SLEAP_RTC_TOKEN": lab.room.token,  # type: ignore[attr-defined]
        "SLEAP_RTC_ICE_LOOPBACK": "1",
        "XDG_STATE_HOME": str(lab.tmp_path / "state"),
    }


@asynccontextmanager
async def running_lab(folder: Path) -> AsyncIterator[Lab]:
    """Runs a server in this process, with a room on it."""
    settings = ServerSettings(state_dir=folder / "server", ws_port=0, http_port=0)
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(partial(serve, settings, stop=trio.Event()))
        yield await open_lab(SimpleNamespace(ws_url=addresses.ws_url, http_url=addresses.http_url), folder)
        nursery.cancel_scope.cancel()


# --- commands that start no job -------------------------------------------------------------


@attrs.frozen
class Spent:
    """The wall-clock time and the processor time of a command; other processes don't affect the latter."""

    wall_sec: float
    cpu_sec: float


def time_command(command: Sequence[str], env: Mapping[str, str]) -> Spent:
    """Runs a command to its end and returns its times."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_at = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=PATIENCE_SEC)
    wall_sec = time.perf_counter() - started_at
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall_sec, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def heavy_modules(arguments: Sequence[str], env: Mapping[str, str]) -> set[str]:
    """Returns the heavy modules that a command has imported by its end."""
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"from sleaprtc.cli import main; main({list(arguments)!r})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SEC,
    )
    return HEAVY_MODULES & set(ended.stderr.split())


async def report_commands(report: Report, lab: Lab, runs: int) -> None:
    """Reports how much longer than a bare Python the commands take that should respond at once."""
    env = environment(lab)
    commands = {
        "--help": ["--help"],
        "client --help": ["client", "--help"],
        "client workers": ["client", "workers"],
    }
    contestants = {
        "bare Python": partial(time_command, [sys.executable, "-c", "pass"], env),
        **{name: partial(time_command, [SLEAP_RTC, *words], env) for name, words in commands.items()},
    }
    times = await trio.to_thread.run_sync(alternate, runs, contestants)
    bare = times.pop("bare Python")
    for figure, what, at_most in (("wall_sec", "", 0.3), ("cpu_sec", ", processor time", None)):
        bare_sec = median_of(bare, figure)
        report.add(f"bare Python{what}", bare_sec, "s")
        for name, spent in times.items():
            over_sec = median_of(spent, figure) - bare_sec
            report.add(f"`sleap-rtc {name}` over bare Python{what}", over_sec, "s", at_most=at_most)
    for name, words in commands.items():
        found = await trio.to_thread.run_sync(heavy_modules, words, env)
        report.add(f"`sleap-rtc {name}`: heavy modules imported", len(found), "", at_most=0)


# --- training -------------------------------------------------------------------------------


async def time_first_bytes(lab: Lab, dataset: Path, engine: str) -> float:
    """Returns the seconds from the start of ``client train`` until the worker has written the first bytes."""
    command = [SLEAP_RTC, "client", "train", str(dataset), "--json", "--engine", engine]
    started_at = time.perf_counter()
    process = await trio.lowlevel.open_process(
        [*command, "--out", str(lab.tmp_path / "models")], stdout=subprocess.PIPE, env=environment(lab)
    )
    assert process.stdout is not None
    try:
        pending = b""
        with trio.fail_after(PATIENCE_SEC):
            async for part in process.stdout:
                *lines, pending = (pending + part).split(b"\n")
                if any(_says_that_bytes_arrived(json.loads(line)) for line in lines):
                    return time.perf_counter() - started_at
        raise RuntimeError("The command ended before the dataset was on its way.")
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()


def _says_that_bytes_arrived(event: Mapping[str, Any]) -> bool:
    return event["event"] == "transfer" and event["direction"] == "send" and event["received_bytes"] > 0


async def report_training(report: Report, lab: Lab, runs: int) -> None:
    """Reports the time from the command to the first bytes of the dataset on the worker's disk."""
    engines = ["aiortc", *(["libwebrtc"] if importlib.util.find_spec("wrtc") else [])]
    times: dict[str, list[float]] = {engine: [] for engine in engines}
    for run in range(runs):
        for engine in engines:
            name = f"{engine}-{run}"
            # A new dataset each time, which no worker has from an earlier run.
            dataset = make_labels(lab.tmp_path / f"{name}.pkg.slp", padding_bytes=DATASET_BYTES + run)
            async with lab.worker(name):
                times[engine].append(await time_first_bytes(lab, dataset, engine))
    for engine, seconds in times.items():
        report.add(
            f"`client train` with {engine} to the dataset's first bytes on the worker's disk",
            statistics.median(seconds),
            "s",
            at_most=2,
        )


async def measure(report: Report, runs: int) -> None:
    """Measures everything in one lab."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_lab(Path(folder)) as lab:
            await report_commands(report, lab, 3 * runs)
            await report_training(report, lab, runs)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--quick", is_flag=True, help="One run of everything: shows that it works, and no more.")
def main(as_json: bool, quick: bool) -> None:
    """Measure how long commands take to start their work."""
    report = Report("Start-up")
    trio.run(measure, report, 1 if quick else 3)
    report.show(as_json=as_json)


if __name__ == "__main__":
    main()
