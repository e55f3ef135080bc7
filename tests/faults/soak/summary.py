"""What came of a soak: counted, and shown as a table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs

from .measuring import Growth, Sample


@attrs.define
class FaultDone:
    """One fault, and what followed.

    Attributes:
        kind: As it is counted.
        what: Whom it met and how long it was, for a person.
        began_at: Seconds since the soak began.
        ended_at: Likewise; None while it lasts.
        goes_on_sec: From its end until a job of everybody concerned went on.
        done_sec: From its end until one of them was done.
    """

    kind: str
    what: str
    began_at: float
    ended_at: float | None = None
    goes_on_sec: float | None = None
    done_sec: float | None = None


@attrs.define
class Tally:
    """What came of a soak.

    Attributes:
        seed: By which it can be done again.
        minutes: How long it broke things.
        jobs: How many were begun.
        done: How many have their model here, with the right bytes.
        failed: How many jobs ended with each reason, which one of the faults explains.
        attempts: How each attempt ended: command, exit status and code.
        retries: How many attempts were followed by another, by how they ended.
        most_attempts: Of one job.
        longest_job_sec: From its begin to its end.
        engines: How many jobs were begun with each, on the client's side.
        faults: One by one.
        losses: What must not be: a sentence for each.
        growth: Of each process.
        left_out: What couldn't be done here, and why.
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
        """The kinds of fault that lasted at this time or came later."""
        return {fault.kind for fault in self.faults if fault.ended_at is None or fault.ended_at >= at}

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, null, wrong or late."""
        return not self.losses

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {**attrs.asdict(self), "recovery": {kind: attrs.asdict(row) for kind, row in self.recovery()}}

    def recovery(self) -> list[tuple[str, Recovery]]:
        """Recovery times by kind of fault, in the order of their names."""
        kinds = sorted({fault.kind for fault in self.faults})
        return [(kind, _recovery([fault for fault in self.faults if fault.kind == kind])) for kind in kinds]


@attrs.frozen
class Recovery:
    """How many faults of a kind there were, and the median and the most of what followed, in seconds."""

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
    """Writes a tally for a person."""
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
