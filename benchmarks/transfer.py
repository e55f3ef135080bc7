"""``python -m benchmarks.transfer [--json] [--quick] [--only NAME]``: measures file transfers.

Everything runs on 127.0.0.1, each side in a process of its own. This package transfers from disk to disk,
with digests and acknowledgements; bare stacks send zeros from memory.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from . import wormhole
from .long_path import only_127_0_0_1, open_long_path
from .report import Report, alternate, median_of
from .sides import Outcome, Rewrite, TransferFailedError, open_pair, run_pair

MIB = 2**20
TIMES = "×"  # noqa: RUF001
MESSAGE_BYTES = 64 * 1024
TIMEOUT_SEC = 300
LONG_RTT_SEC = 0.05
LONG_LOSS = 0.001
SLOW_DISK_BYTES_PER_SEC = 4 * MIB
BARE_ENGINES = {"aiortc": "aiortc", "libwebrtc": "wrtc"}


@attrs.frozen
class Sizes:
    """How much is transferred, in MiB, and how often."""

    runs: int
    slow_mib: int
    fast_mib: int
    memory_mib: int
    long_mib: int
    cut_mib: int
    cuts: int


FULL = Sizes(runs=5, slow_mib=48, fast_mib=250, memory_mib=2048, long_mib=8, cut_mib=64, cuts=6)
QUICK = Sizes(runs=1, slow_mib=16, fast_mib=64, memory_mib=256, long_mib=4, cut_mib=32, cuts=3)


class Bench:
    """One run of the benchmark, with a folder for its files."""

    def __init__(self, report: Report, sizes: Sizes, folder: Path) -> None:
        self.report = report
        self.sizes = sizes
        self._folder = folder
        self._received = 0
        self.engines = ["aiortc", *(["libwebrtc"] if find_spec("webrtc") else [])]

    # --- files and transfers ----------------------------------------------------------------

    def file(self, size_mib: int) -> Path:
        """Returns a file of random bytes."""
        path = self._folder / f"{size_mib}.bin"
        if not path.exists():
            with path.open("wb") as file:
                for _ in range(size_mib):
                    file.write(os.urandom(MIB))
        return path

    def directory(self) -> Path:
        """Returns a new folder for a receiver."""
        self._received += 1
        return self._folder / f"received-{self._received}"

    def ours(
        self,
        engine: str,
        path: Path,
        *,
        times: int = 1,
        watch: bool = False,
        receive: dict[str, Any] | None = None,
        rewrite: Rewrite | None = None,
    ) -> Outcome:
        """Transfers a file with this package, and removes the received file afterwards."""
        directory = self.directory()
        common = {"engine": engine, "times": times}
        outcome = run_pair(
            "transfer_ours",
            send={**common, "path": str(path), **({"watched": str(directory / "0")} if watch else {})},
            receive={**common, "directory": str(directory), **(receive or {})},
            timeout_sec=TIMEOUT_SEC,
            times=times,
            rewrite=rewrite,
        )
        for received in directory.glob("*/*"):
            received.unlink()
        return outcome

    def bare(self, stack: str, size_mib: int, *, rewrite: Rewrite | None = None, **options: int) -> Outcome:
        """Transfers zeros over a stack without this package."""
        same = {"stack": stack, "size_bytes": size_mib * MIB, "message_bytes": MESSAGE_BYTES, **options}
        module = "transfer_tls" if stack == "tls" else "transfer_bare"
        return run_pair(module, send=same, receive=same, timeout_sec=TIMEOUT_SEC, rewrite=rewrite)

    # --- measurements -----------------------------------------------------------------------

    def speed(self) -> None:
        """Compares the rate with the bare stacks, TLS and magic-wormhole, in turns."""
        slow_mib, fast_mib = self.sizes.slow_mib, self.sizes.fast_mib
        size_mib = {"aiortc": slow_mib, "libwebrtc": fast_mib}
        contestants: dict[str, Callable[[], Outcome]] = {}
        for engine in self.engines:
            path = self.file(size_mib[engine])
            # Otherwise libwebrtc would use IPv6, which costs both of its contestants 3 to 5 % more.
            contestants[engine] = partial(self.ours, engine, path, rewrite=only_127_0_0_1)
            contestants[f"bare {engine}"] = partial(
                self.bare, BARE_ENGINES[engine], size_mib[engine], rewrite=only_127_0_0_1
            )
        contestants["TLS"] = partial(self.bare, "tls", fast_mib)
        outcomes = alternate(self.sizes.runs, contestants)
        rate = {
            name: size_mib.get(name.removeprefix("bare "), fast_mib) / median_of(results, "sec")
            for name, results in outcomes.items()
        }
        for name, results in outcomes.items():
            size = size_mib.get(name.removeprefix("bare "), fast_mib)
            self.report.add(f"rate, {_label(name)}", rate[name], "MiB/s")
            cost = 1000 * median_of(results, "cpu_sec") / size
            self.report.add(f"processor time of both sides, {_label(name)}", cost, "ms/MiB")
        self.report.add(
            "rate, aiortc over bare aiortc", rate["aiortc"] / rate["bare aiortc"], TIMES, at_least=1.0
        )
        if "libwebrtc" in self.engines:
            self._add_native(rate, median_of(outcomes["libwebrtc"], "sec"))
        if wormhole.is_installed():
            with wormhole.open_mailbox() as url:
                path = self.file(fast_mib)
                sec = alternate(self.sizes.runs, {"": lambda: wormhole.transfer_sec(url, path)})[""]
            self.report.add(
                "rate, magic-wormhole, disk to disk", fast_mib / sorted(sec)[len(sec) // 2], "MiB/s"
            )

    def _add_native(self, rate: dict[str, float], sec: float) -> None:
        native, bare = rate["libwebrtc"], rate["bare libwebrtc"]
        self.report.add("rate, libwebrtc over bare libwebrtc", native / bare, TIMES, at_least=0.85)
        self.report.add("rate, libwebrtc over bare aiortc", native / rate["bare aiortc"], TIMES, at_least=8.0)
        self.report.add(f"{self.sizes.fast_mib} MiB with libwebrtc", sec, "s", at_most=4.0)

    def memory(self) -> None:
        """Measures how much either side's memory grows, with a large file and with a slow disk."""
        engine = self.engines[-1]
        size_mib = self.sizes.memory_mib
        outcome = self.ours(engine, self._sparse(size_mib))
        for side in ("sender", "receiver"):
            growth = getattr(outcome, side).growth_mib
            self.report.add(f"memory of the {side}, {size_mib} MiB, {engine}", growth, "MiB", at_most=64)
        for engine in self.engines:
            self._slow_disk(engine)

    def _slow_disk(self, engine: str) -> None:
        size_mib = self.sizes.cut_mib
        outcome = self.ours(
            engine, self.file(size_mib), receive={"disk_bytes_per_sec": SLOW_DISK_BYTES_PER_SEC}
        )
        needed = size_mib * MIB / SLOW_DISK_BYTES_PER_SEC
        name = f"slow disk, {engine}"
        self.report.add(
            f"{name}: the sender's time over the disk's", outcome.sec / needed, TIMES, at_least=0.8
        )
        growth = max(outcome.sender.growth_mib, outcome.receiver.growth_mib)
        self.report.add(f"{name}: memory of either side", growth, "MiB", at_most=64)

    def _sparse(self, size_mib: int) -> Path:
        path = self._folder / "sparse.bin"
        with path.open("wb") as file:
            file.truncate(size_mib * MIB)
        return path

    def resume(self) -> None:
        """Kills either side, or both, at random points, then lets the transfer finish."""
        for engine in self.engines:
            self._resume(engine, random.Random(1))

    def _resume(self, engine: str, chance: random.Random) -> None:
        size_bytes = self.sizes.cut_mib * MIB
        counter, directory = self._folder / f"counter-{engine}", self.directory()
        counter.write_bytes(struct.pack("<Q", 0))
        send = {"engine": engine, "path": str(self.file(self.sizes.cut_mib)), "counter": str(counter)}
        receive = {"engine": engine, "directory": str(directory)}
        victims = [("send",), ("receive",), ("send", "receive")]

        def sent_bytes() -> int:
            return int(struct.unpack("<Q", counter.read_bytes())[0])

        worst_bytes = kept_bytes = 0
        for number in range(self.sizes.cuts):
            before_bytes = sent_bytes()
            goal_bytes = before_bytes + chance.randint(0, 2 * size_bytes // (3 * self.sizes.cuts))
            with open_pair("transfer_ours", send=send, receive=receive) as pair:
                pair.run(TIMEOUT_SEC, until=lambda goal=goal_bytes: sent_bytes() > goal)  # type: ignore[misc]
                pair.kill(*victims[number % len(victims)])
                pair.quit()
            parts = [part.stat().st_size for part in directory.glob("*/.*.part")]
            now_kept_bytes = max(parts, default=0)
            twice_bytes = sent_bytes() - before_bytes - (now_kept_bytes - kept_bytes)
            worst_bytes, kept_bytes = max(worst_bytes, twice_bytes), now_kept_bytes
        run_pair("transfer_ours", send=send, receive=receive, timeout_sec=TIMEOUT_SEC)
        total_bytes = sent_bytes() - size_bytes
        name = f"resume, {self.sizes.cuts} kills, {engine}"
        self.report.add(f"{name}: sent twice a kill, at most", worst_bytes / MIB, "MiB", at_most=8)
        self.report.add(f"{name}: sent twice in all", total_bytes / MIB, "MiB", at_most=8 * self.sizes.cuts)

    def again(self) -> None:
        """Measures how soon the receiver confirms a dataset that it has in its cache."""
        engine = self.engines[-1]
        size_mib = self.sizes.fast_mib
        outcomes = [
            self.ours(engine, self.file(size_mib), times=2, receive={"cache": True})
            for _ in range(self.sizes.runs)
        ]
        answers = sorted(outcome.sender.reports[1]["sec"] for outcome in outcomes)
        answer = answers[len(answers) // 2]
        self.report.add(f"{size_mib} MiB that the worker has: the answer", answer, "s", at_most=1.0)

    def progress(self) -> None:
        """Compares the progress that the sender shows with the receiver's disk."""
        for engine in self.engines:
            outcome = self.ours(engine, self.file(self.sizes.cut_mib), watch=True)
            ahead = outcome.sender.reports[-1]["ahead_bytes"] / MIB
            self.report.add(f"progress ahead of the receiver's disk, {engine}", ahead, "MiB", at_most=0)

    def long(self) -> None:
        """Measures a path of 50 ms and 0.1 % loss, with one or more channels and connections."""
        size_mib = self.sizes.long_mib
        name = f"rate at {1000 * LONG_RTT_SEC:.0f} ms and {100 * LONG_LOSS:g} % loss"
        for engine in self.engines:
            with open_long_path(rtt_sec=LONG_RTT_SEC, loss=LONG_LOSS) as path:
                outcome = self.ours(engine, self.file(size_mib), rewrite=path.rewrite)
            self.report.add(f"{name}, {_label(engine)}", size_mib / outcome.sec, "MiB/s")
            for channels, connections in ((1, 1), (4, 1), (1, 4), (1, 8)):
                with open_long_path(rtt_sec=LONG_RTT_SEC, loss=LONG_LOSS) as path:
                    bare = self.bare(
                        BARE_ENGINES[engine],
                        size_mib,
                        channels=channels,
                        connections=connections,
                        rewrite=path.rewrite,
                    )
                shape = f"{connections} connections of {channels} channels"
                self.report.add(f"{name}, bare {engine}, {shape}", size_mib / bare.sec, "MiB/s")


def _label(name: str) -> str:
    if name.startswith("bare") or name == "TLS":
        return f"{name}, zeros from memory"
    return f"{name}, disk to disk"


PARTS = ("speed", "memory", "resume", "again", "progress", "long")


def main() -> None:
    """Runs the parts that the command line names, and prints the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="less of everything, once")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    given = parser.parse_args()
    report = Report("Transfers")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        bench = Bench(report, QUICK if given.quick else FULL, Path(folder))
        for part in given.only or PARTS:
            print(f"{part} …", file=sys.stderr, flush=True)
            try:
                getattr(bench, part)()
            except TransferFailedError as error:
                sys.exit(f"{part}: {error}")
    report.show(as_json=given.json)


if __name__ == "__main__":
    main()
