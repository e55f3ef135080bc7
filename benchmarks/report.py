"""Medians of alternating runs, ratios and claims, as a table or as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import attrs

T = TypeVar("T")

AT_LEAST = "≥"
AT_MOST = "≤"


@attrs.frozen
class Row:
    """One figure, with a claim if there is one.

    Attributes:
        name: What was measured.
        value: The figure.
        unit: Its unit; "x" for a ratio.
        bound: ``AT_LEAST`` or ``AT_MOST``, or None without a claim.
        target: The claimed limit, or None without a claim.
    """

    name: str
    value: float
    unit: str
    bound: str | None = None
    target: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds; None without a claim."""
        if self.bound is None or self.target is None:
            return None
        return self.value >= self.target if self.bound == AT_LEAST else self.value <= self.target


@attrs.define
class Report:
    """The rows of one benchmark.

    Attributes:
        title: The benchmark's name.
        rows: Its figures.
        notes: Sentences about what a reader must know: what was left out, or is void.
    """

    title: str
    rows: list[Row] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Adds a figure, with a claim if ``at_least`` or ``at_most`` is given."""
        bound = AT_LEAST if at_least is not None else AT_MOST if at_most is not None else None
        self.rows.append(Row(name, value, unit, bound, at_least if at_least is not None else at_most))

    def as_json(self) -> str:
        """Returns the report as JSON."""
        rows = [{**attrs.asdict(row), "holds": row.holds} for row in self.rows]
        notes = {"notes": self.notes} if self.notes else {}
        return json.dumps({"benchmark": self.title, "machine": machine(), "rows": rows, **notes}, indent=2)

    def as_table(self) -> str:
        """Returns the report as a Markdown table."""
        lines = [
            f"## {self.title}",
            "",
            machine(),
            "",
            "| what | measured | claim | holds |",
            "|---|---:|---:|---|",
        ]
        for row in self.rows:
            claim = "" if row.target is None else f"{row.bound} {_figure(row.target)} {row.unit}"
            holds = {True: "yes", False: "NO", None: ""}[row.holds]
            lines.append(f"| {row.name} | {_figure(row.value)} {row.unit} | {claim} | {holds} |")
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)

    def show(self, *, as_json: bool) -> None:
        """Prints the report."""
        print(self.as_json() if as_json else self.as_table(), flush=True)


def alternate(runs: int, contestants: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Runs the contestants in turns, so that the machine's other load affects all of them alike."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            results[name].append(run())
    return results


def median_of(results: Iterable[Any], figure: str) -> float:
    """Returns the median of one attribute over many results."""
    return statistics.median(getattr(result, figure) for result in results)


def machine() -> str:
    """Describes the machine on which the benchmark runs."""
    return f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"


def _figure(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
