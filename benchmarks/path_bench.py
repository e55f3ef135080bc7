"""What the parts of :mod:`benchmarks.paths` share: the path, its programs, the sizes and the report."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from .emulation import LongPath
from .path_programs import PathPrograms, ProgramFailedError, dataset_of, open_programs
from .path_rivals import RivalFailedError
from .report import Report
from .sides import TransferFailedError

TIMES = "×"  # noqa: RUF001
MIB = 2**20
STARTED_SEC = 3.0
"""A transfer must have found its rate by then."""
SLOWEST_SHARE = 0.05
"""A transfer that gets less than this share of the line is given up."""
OVERHEAD_SEC = 60.0
"""For whatever comes before the first byte and after the last."""

MOST_PROGRAMS_MBIT = 400.0
"""Faster lines are measured with a pair of processes: a job would write several GB several times."""


@attrs.frozen
class Sizes:
    """How much is measured.

    Attributes:
        pairs: How many alternating pairs of runs.
        line_sec: The bytes of a transfer, as the seconds that the line needs for them.
        beside_sec: How long two share the line.
        paths: Round trip in ms and rate in Mbit/s of each path. The first is that of changes, losses and
            sharing.
    """

    pairs: int
    line_sec: float
    beside_sec: int
    paths: tuple[tuple[float, float], ...]


FULL = Sizes(5, 20, 60, ((50, 200), (20, 200), (10, 100), (30, 20), (50, 800)))
# In less than 10 s, TCP's slow start alone would cost iperf3 too much of the line.
QUICK = Sizes(1, 10, 15, ((50, 200), (30, 20)))


class Bench:
    """One run of the benchmark over one path, whose settings change between its parts.

    Attributes:
        report: Where the figures go.
        sizes: How much is measured.
        engine: Which engine carries the data.
        path: The path.
        folder: A folder for files.
        has_failed: Whether anything couldn't be measured that should have been.
    """

    def __init__(self, report: Report, sizes: Sizes, engine: str, path: LongPath, folder: Path) -> None:
        self.report = report
        self.sizes = sizes
        self.engine = engine
        self.path = path
        self.folder = folder
        self.has_failed = False
        self._opened = 0

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Notes a failure of the block, so that the rest is measured all the same."""
        try:
            yield
        except (ProgramFailedError, RivalFailedError, TransferFailedError, TimeoutError) as error:
            self.say(f"{what}: {error}")
            self.note(f"Failed: {self.engine}, {what}. {error}")
            self.has_failed = True

    @property
    def line(self) -> float:
        """What the line carries now, in bytes a second."""
        return self.path.settings.bytes_per_sec

    def set_path(self, rtt_ms: float, mbit: float, queue_bdp: float, loss: float = 0.0) -> str:
        """Changes the path while nothing passes; returns its name in the report."""
        self.path.change(rtt_ms=rtt_ms, mbit=mbit, queue_bdp=queue_bdp, loss=loss)
        return f"{rtt_ms:g} ms, {mbit:g} Mbit/s, queue {queue_bdp:g} BDP"

    @contextmanager
    def programs(self, *workers: str) -> Iterator[PathPrograms]:
        """Runs a server and workers during the block."""
        self._opened += 1
        folder = self.folder / f"programs-{self._opened}"
        with open_programs(self.path, folder, self.engine, workers=workers or ("worker",)) as programs:
            yield programs

    def byte_count(self, line_sec: float) -> int:
        """Returns what the line carries in so many seconds."""
        return int(self.line * line_sec)

    def patience_sec(self, line_sec: float) -> float:
        """Returns how long a transfer may take for which the line needs so many seconds."""
        return line_sec / SLOWEST_SHARE + OVERHEAD_SEC

    def dataset(self, line_sec: float) -> Path:
        """Returns labels for which the line needs so many seconds."""
        return dataset_of(self.folder, self.byte_count(line_sec))

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Adds a figure of this engine to the report."""
        self.report.add(f"{self.engine}, {name}", value, unit, at_least=at_least, at_most=at_most)

    def note(self, sentence: str) -> None:
        """Adds a sentence to the report, once."""
        if sentence not in self.report.notes:
            self.report.notes.append(sentence)

    def say(self, what: str) -> None:
        """Tells whoever waits how far it is."""
        print(f"  {what}", file=sys.stderr, flush=True)
