"""Transfers that have the path to themselves, in turns with iperf3 and magic-wormhole."""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from . import wormhole
from .path_bench import MIB, MOST_PROGRAMS_MBIT, STARTED_SEC, TIMES, Bench
from .path_programs import CLIENT_END, WORKER_END, PathPrograms
from .path_rivals import has_iperf, run_iperf
from .sides import open_pair

QUEUES_BDP = (0.25, 1.0, 4.0)
LEAST_RATIOS = {0.25: 0.5, 1.0: 0.65, 4.0: 0.65}
MOST_DROPPED_BDP = 1.0
VOID_SHARE = 0.9
"""If iperf3 gets less than this share of the line, the machine was the limit, and nothing is compared."""
LOSSES = (0.001, 0.01)


@attrs.frozen
class Ran:
    """One transfer.

    Attributes:
        to_worker: Its rate in bytes a second.
        to_client: That of the way back, if there was one.
        dropped_bytes: What the queue dropped in the first seconds, if that was counted.
    """

    to_worker: float
    to_client: float | None = None
    dropped_bytes: int | None = None


@attrs.frozen
class Turn:
    """One transfer and iperf3's rate after it, in bytes a second."""

    ours: float
    rival: float | None


def alone(bench: Bench) -> None:
    """Compares with iperf3 on each path with each queue, in both directions."""
    for (rtt_ms, mbit), queue_bdp in itertools.product(bench.sizes.paths, QUEUES_BDP):
        name = bench.set_path(rtt_ms, mbit, queue_bdp)
        with bench.attempt(name):
            if mbit > MOST_PROGRAMS_MBIT:
                _compare(bench, f"{name} (a pair, no programs)", lambda: _run_pair(bench), claims=False)
            else:
                _compare_jobs(bench, name, claims=True)


def loss(bench: Bench) -> None:
    """Reports rates on a path that loses packets at random."""
    for share in LOSSES:
        name = f"{bench.set_path(*bench.sizes.paths[0], 1, share)}, loss {100 * share:g} %"
        with bench.attempt(name):
            _compare_jobs(bench, name, claims=False)


def magic_wormhole(bench: Bench) -> None:
    """Reports what magic-wormhole gets on the first path, client → worker."""
    if not wormhole.is_installed():
        bench.note("Left out: magic-wormhole, which isn't installed.")
        return
    for queue_bdp in QUEUES_BDP:
        name = bench.set_path(*bench.sizes.paths[0], queue_bdp)
        with bench.attempt(f"magic-wormhole, {name}"):
            rate = _wormhole_rate(bench)
            bench.report.add(f"magic-wormhole, {name}: client → worker", rate / MIB, "MiB/s")


def _wormhole_rate(bench: Bench) -> float:
    path, file = bench.path, _random_file(bench)
    addresses = (path.addresses[CLIENT_END], path.addresses[WORKER_END])
    at = (path.at(CLIENT_END), path.at(WORKER_END))
    with wormhole.open_mailbox(path.addresses[WORKER_END], at=path.at(WORKER_END)) as url:
        taken_sec = [
            wormhole.transfer_sec(url, file, addresses=addresses, at=at) for _ in range(bench.sizes.pairs)
        ]
    return file.stat().st_size / statistics.median(taken_sec)


# --- turns ------------------------------------------------------------------------------------


def _compare_jobs(bench: Bench, name: str, *, claims: bool) -> None:
    with bench.programs() as programs:
        _compare(bench, name, lambda: _run_job(bench, programs), claims=claims)


def _compare(bench: Bench, name: str, run: Callable[[], Ran], *, claims: bool) -> None:
    to_worker, to_client, dropped = [], [], []
    for number in range(bench.sizes.pairs):
        ran = run()
        to_worker.append(Turn(ran.to_worker, _rival(bench, backwards=False)))
        if ran.to_client is not None:
            to_client.append(Turn(ran.to_client, _rival(bench, backwards=True)))
        if ran.dropped_bytes is not None:
            dropped.append(ran.dropped_bytes / bench.path.settings.bdp_bytes)
        bench.say(
            f"{name}, pair {number + 1}: {to_worker[-1]}, back {to_client[-1:]}, dropped {dropped[-1:]}"
        )
    _add_turns(bench, name, "client → worker", to_worker, claims=claims)
    _add_turns(bench, name, "worker → client", to_client, claims=claims)
    if dropped:
        most = MOST_DROPPED_BDP if claims else None
        bench.add(f"{name}: dropped in the first 3 s, the most of a run", max(dropped), "BDP", at_most=most)


def _add_turns(bench: Bench, name: str, way: str, turns: list[Turn], *, claims: bool) -> None:
    if not turns:
        return
    bench.add(f"{name}: {way}", statistics.median(turn.ours for turn in turns) / MIB, "MiB/s")
    rivals = [turn.rival for turn in turns if turn.rival is not None]
    if not rivals:
        return
    bench.add(f"{name}: {way}, iperf3 in turns with it", statistics.median(rivals) / MIB, "MiB/s")
    least = 0.0 if bench.path.settings.loss else VOID_SHARE * bench.line
    ratios = [turn.ours / turn.rival for turn in turns if turn.rival is not None and turn.rival >= least]
    if ratios:
        claim = LEAST_RATIOS[bench.path.settings.queue_bdp] if claims else None
        bench.add(f"{name}: {way}, over iperf3", statistics.median(ratios), TIMES, at_least=claim)
    if len(ratios) < len(turns):
        bench.note(
            f"Void: {len(turns) - len(ratios)} of {len(turns)} pairs of {bench.engine}, {name}, {way}. "
            f"iperf3 got less than {VOID_SHARE} of the line."
        )


def _rival(bench: Bench, *, backwards: bool) -> float | None:
    if not has_iperf():
        return None
    byte_count = bench.byte_count(bench.sizes.line_sec)
    return run_iperf(bench.path, byte_count=byte_count, backwards=backwards).bytes_per_sec


def _run_job(bench: Bench, programs: PathPrograms) -> Ran:
    """Runs a job: its dataset goes there, and a model of the same size comes back."""
    dropped_before = bench.path.counts().dropped_bytes
    patience_sec = bench.patience_sec(bench.sizes.line_sec)
    with programs.job(bench.dataset(bench.sizes.line_sec)) as job:
        began_sec = job.wait_for_first_byte()
        time.sleep(max(began_sec + STARTED_SEC - time.time(), 0))
        dropped_bytes = bench.path.counts().dropped_bytes - dropped_before
        job.wait(lambda: job.to_worker.is_whole, patience_sec)
        job.wait(lambda: job.to_client.is_whole, patience_sec)
        job.wait_for_end()
    return Ran(job.to_worker.bytes_per_sec, job.to_client.bytes_per_sec, dropped_bytes)


def _run_pair(bench: Bench) -> Ran:
    """Runs two processes that transfer one file. The time includes the digest before the first byte."""
    file = _random_file(bench)
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        common: dict[str, Any] = {"engine": bench.engine, "loopback": False}
        ends = {"send": bench.path.at(CLIENT_END), "receive": bench.path.at(WORKER_END)}
        with open_pair(
            "transfer_ours",
            send={**common, "path": str(file)},
            receive={**common, "directory": folder},
            at=ends,
        ) as pair:
            pair.run(bench.patience_sec(bench.sizes.line_sec))
            pair.quit()
            return Ran(file.stat().st_size / pair.outcome().sec)


def _random_file(bench: Bench) -> Path:
    """Returns a file for which the line needs the usual time."""
    size_bytes = bench.byte_count(bench.sizes.line_sec)
    path = bench.folder / f"{size_bytes}.bin"
    if not path.exists():
        block = random.Random(1).randbytes(MIB)
        with path.open("wb") as file:
            for begin in range(0, size_bytes, MIB):
                file.write(block[: size_bytes - begin])
    return path
