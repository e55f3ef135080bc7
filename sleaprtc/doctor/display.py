"""Shows findings as they come, each as a tick or a sentence."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import click

from ..base.printable import printable
from ..commandline.json_lines import print_json
from .findings import Finding, Status, counts, exit_status

_MARKS: Final = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗", Status.SKIPPED: "-"}
_ASCII_MARKS: Final = {Status.OK: "ok", Status.WARNING: "!!", Status.FAILED: "XX", Status.SKIPPED: "--"}
_COLOURS: Final = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "red",
    Status.SKIPPED: "bright_black",
}
NAME_WIDTH: Final = 12
LEAST_COLUMNS: Final = 30


def show_as_json(finding: Finding) -> None:
    """Prints a finding as one object."""
    print_json(
        {
            "check": finding.check,
            "status": finding.status.value,
            "sentence": finding.sentence,
            "remedy": finding.remedy,
            **finding.facts,
        }
    )


def show_as_text(finding: Finding) -> None:
    """Prints a finding as a line, and what to do about it as another."""
    mark = _marks()[finding.status]
    indent = " " * (len(mark) + NAME_WIDTH + 2)
    lines = _wrapped(printable(finding.sentence), len(indent))
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        mark = click.style(mark, fg=_COLOURS[finding.status])
    print(f"{mark} {finding.check:<{NAME_WIDTH}} {lines[0]}", *lines[1:], sep=f"\n{indent}", flush=True)
    if finding.remedy is not None and finding.status is not Status.OK:
        # on one line: there may be a command in it, to be pasted
        print(f"{indent}{printable(finding.remedy)}", flush=True)


def _wrapped(text: str, indent_columns: int) -> list[str]:
    """Wraps a sentence to the terminal's width; without a terminal, it stays on one line."""
    if not sys.stdout.isatty():
        return [text]
    columns = max(shutil.get_terminal_size().columns - indent_columns, LEAST_COLUMNS)
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False) or [""]


def _marks() -> dict[Status, str]:
    try:
        "".join(_MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII_MARKS
    return _MARKS


def show_summary_as_json(findings: Iterable[Finding]) -> None:
    """Prints how many checks ended in which way."""
    findings = list(findings)
    print_json({"summary": counts(findings), "exit_status": exit_status(findings)})


def show_summary_as_text(findings: Iterable[Finding]) -> None:
    """Prints one sentence about all checks together."""
    number = counts(findings)
    broken, odd = number[Status.FAILED], number[Status.WARNING]
    if broken:
        verdict = f"{broken} {'check' if broken == 1 else 'checks'} failed."
    elif odd:
        verdict = f"Nothing is broken; {odd} {'thing' if odd == 1 else 'things'} could be better."
    else:
        verdict = "All is well."
    print(f"\n{verdict}")


class OrderedDisplay:
    """Shows findings in reading order, each as soon as those before it are there.

    Args:
        order: The checks' names.
        show: Shows one finding.
    """

    def __init__(self, order: Sequence[str], show: Callable[[Finding], None]) -> None:
        self._order = list(order)
        self._show = show
        self._waiting: dict[str, Finding] = {}

    def take(self, finding: Finding) -> None:
        """Shows a finding, or keeps it until it is next."""
        self._waiting[finding.check] = finding
        while self._order and self._order[0] in self._waiting:
            self._show(self._waiting.pop(self._order.pop(0)))

    def finish(self) -> None:
        """Shows the findings that still wait for a check that never ran."""
        for finding in self._waiting.values():
            self._show(finding)
        self._waiting.clear()
