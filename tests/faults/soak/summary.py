"""Counts the results of a soak, and shows them as a table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs

from .measuring import Growth, Sample


@attrs.define
class FaultDone:
    """One fault, and the recovery from it.

    Attributes:
        kind: The name under which it is counted.
        what: A description for people: whom it affected, and for how long.
        began_at: When it began, in seconds since the soak began.
        ended_at: When it ended, likewise; None while it lasts.
        goes_on_sec: Seconds from its end until everybody affected had a job going on.
        done_sec: Seconds from its end until everybody affected had a job done.
    """

    kind: str
    what: str
    began_at: float
    ended_at: float | None = None
    goes_on_sec: float | None = None
    done_sec: float | None = None


@attrs.define
class Tally:
    """The results of a soak.

    Attributes:
        seed: The seed, with which it can be repeated.
        minutes: How long faults were injected.
        jobs: How many jobs were started.
        done: How many jobs delivered their model, with the right bytes.
        failed: How many jobs failed for each reason that one of the faults explains.
        attempts: How many attempts ended in each way: command, exit status and code.
        retries: How many attempts were followed by another, by how they ended.
        most_attempts: The largest number of attempts at one job.
        longest_job_sec: The longest time from a job's start to its end.
        engines: How many jobs were started with each engine, on the client's side.
        faults: All faults.
        losses: A sentence for each loss.
        growth: The growth of each process.
        left_out: What wasn't possible here, and why.
        was_interrupted: Whether it was ended early.
    """

    seed: int
    minutes: float = 0.0
    jobs: int = 0
    done: int = 0
    failed: Counter[str] = attrs.field(factory=Counter)
    attempts: Counter[str] = attrs.field(factory=Counter)
    retries: Counter[str] = attrs.field(factory=Counter)
    most_attempts: int = 0
    longest_job_sec: float = 0.0
    engines: Counter[str] = attrs.field(factory=Counter)
    faults: list[FaultDone] = attrs.field(factory=list)
    losses: list[str] = attrs.field(factory=list)
    growth: list[Growth] = attrs.field(factory=list)
    left_out: list[str] = attrs.field(factory=list)
    was_interrupted: bool = False

    def faults_since(self, at: float) -> set[str]:
        """Returns the kinds of fault that lasted at this time or began later."""
        return {fault.kind for fault in self.faults if fault.ended_at is None or fault.ended_at >= at}

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, null, wrong or late."""
        return not self.losses

    def as_json(self) -> dict[str, Any]:
        """Returns the results as JSON values."""
        return {**attrs.asdict(self), "recovery": {kind: attrs.asdict(row) for kind, row in self.recovery()}}

    def recovery(self) -> list[tuple[str, Recovery]]:
        """Returns recovery times by kind of fault, in the order of their names."""
        kinds = sorted({fault.kind for fault in self.faults})
        return [(kind, _recovery([fault for fault in self.faults if fault.kind == kind])) for kind in kinds]


@attrs.frozen
class Recovery:
    """The number of faults of a kind, and the median and maximum of their recovery times in seconds."""

    count: int
    goes_on_sec: tuple[float, float] | None
    done_sec: tuple[float, float] | None


def _recovery(faults: list[FaultDone]) -> Recovery:
    return Recovery(
        len(faults),
        _median_and_most(fault.goes_on_sec for fault in faults),
        _median_and_most(fault.done_sec for fault in faults),
    )


def _median_and_most(values: Iterable[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (round(statistics.median(known), 1), round(max(known), 1)) if known else None


def as_table(tally: Tally, machine: str) -> str:
    """Returns a tally as a table for people."""
    end = ", interrupted" if tally.was_interrupted else ""
    parts = [
        [f"## Soak, seed {tally.seed}, {tally.minutes:g} minutes{end}", "", machine],
        [f"Left out: {sentence}." for sentence in tally.left_out],
        _jobs(tally),
        _attempts(tally),
        _faults(tally),
        _processes(tally),
        [_count_of_losses(tally), *(f"- {loss}" for loss in tally.losses)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _count_of_losses(tally: Tally) -> str:
    return "**1 loss**" if len(tally.losses) == 1 else f"**{len(tally.losses)} losses**"


def _jobs(tally: Tally) -> list[str]:
    return [
        "| jobs | count |",
        "|---|---:|",
        f"| begun | {tally.jobs} |",
        f"| done, with the right bytes and figures | {tally.done} |",
        f"| failed, for a reason that a fault explains | {tally.failed.total()} |",
        *(f"| - {reason} | {count} |" for reason, count in sorted(tally.failed.items())),
        f"| attempts | {tally.attempts.total()} |",
        f"| of these, tried again | {tally.retries.total()} |",
        f"| most attempts of one job | {tally.most_attempts} |",
        f"| longest job | {tally.longest_job_sec:.0f} s |",
        *(f"| begun with {engine} | {count} |" for engine, count in sorted(tally.engines.items())),
    ]


def _attempts(tally: Tally) -> list[str]:
    return [
        "| attempts: command, exit status and code | count | tried again |",
        "|---|---:|---:|",
        *(
            f"| {kind} | {count} | {tally.retries[kind] or ''} |"
            for kind, count in sorted(tally.attempts.items())
        ),
    ]


def _faults(tally: Tally) -> list[str]:
    return [
        "| faults | count | goes on after: median | most | next job done after: median | most |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {kind} | {row.count} | {_seconds(row.goes_on_sec)} | {_seconds(row.done_sec)} |"
            for kind, row in tally.recovery()
        ),
    ]


def _seconds(pair: tuple[float, float] | None) -> str:
    return " | " if pair is None else f"{pair[0]:.1f} s | {pair[1]:.1f} s"


def _processes(tally: Tally) -> list[str]:
    return [
        "| process | lives | jobs | memory: start, end, peak | descriptors | threads | growth for each job |",
        "|---|---:|---:|---|---|---|---|",
        *(
            f"| {row.name} | {row.lives} | {row.jobs} | {_figures(row, 'memory_mb')} MiB"
            f" | {_figures(row, 'descriptors')} | {_figures(row, 'threads')} | {_growth(row)} |"
            for row in tally.growth
        ),
    ]


def _figures(row: Growth, figure: str) -> str:
    def show(sample: Sample | None) -> str:
        return "-" if sample is None else f"{getattr(sample, figure):.0f}"

    return ", ".join(map(show, (row.start, row.end, row.peak)))


def _growth(row: Growth) -> str:
    if row.per_job is None:
        return ""
    memory_mb, descriptors, threads = row.per_job
    return (
        f"{memory_mb:+.2f} MiB, {descriptors:+.2f} descriptors, {threads:+.2f} threads"
        f" (over {row.jobs_counted} jobs)"
    )
