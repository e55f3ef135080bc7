"""A short soak; `python -m benchmarks.soak` is the long one."""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from ..support.waiting import until
from .processes import ROOT, end
from .soak.network import NAMESPACES, missing_for_namespaces
from .soak.run import Soak

MINUTES = 0.5

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("use_root", [False, True], ids=["loopback", "namespaces"])
async def test_no_job_is_lost(tmp_path, use_root):
    if use_root and (reason := missing_for_namespaces()) is not None:
        pytest.skip(f"no namespaces: {reason}")
    soak = Soak(tmp_path, seed=20, minutes=MINUTES, use_root=use_root)
    tally = await soak.run()
    assert tally.losses == []
    assert tally.done + tally.failed.total() == tally.jobs
    assert tally.done
    assert tally.faults
    assert bool(tally.left_out) is not use_root


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_soak_leaves_nothing(tmp_path, number):
    words = ("-m", "benchmarks.soak", "--minutes", "5", "--seed", "20", "--json", "--verbose")
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = await trio.lowlevel.open_process(
            [sys.executable, *words],
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
    try:

        def has_done_a_job():
            assert process.poll() is None
            return b": done" in (tmp_path / "err").read_bytes()

        await until(has_done_a_job)
        process.send_signal(number)
        await process.wait()
    finally:
        await end(process)
    assert process.returncode == 130
    tally = json.loads((tmp_path / "out").read_text())
    assert tally["was_interrupted"]
    assert tally["done"] >= 1
    assert list(NAMESPACES.glob(f"soak{process.pid}-*")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err", "out"]
    assert mounts_below(tmp_path) == []
    assert processes_naming(tmp_path) == []


def mounts_below(folder):
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


def processes_naming(folder):
    """Returns the pids of processes that have this folder in their command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if os.fsencode(folder) in said:
                    found.append(int(entry.name))
    return found
