"""The results of checks."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import attrs

from ..errors import EXIT_DONE, EXIT_JOB_FAILED


class Status(enum.StrEnum):
    """How a check ended. Only ``failed`` makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen
class Finding:
    """The result of one check.

    Attributes:
        check: Its name, stable for programs.
        status: How it ended.
        sentence: What was found, for a person.
        remedy: What to do about it, or None where nothing needs to be done.
        facts: What was measured, by names that carry their units.
    """

    check: str
    status: Status
    sentence: str
    remedy: str | None = None
    facts: Mapping[str, object] = attrs.field(factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether checks that build on this one make sense."""
        return self.status in (Status.OK, Status.WARNING)


def ok(check: str, sentence: str, **facts: object) -> Finding:
    """Returns a finding about something that is as it should be."""
    return Finding(check, Status.OK, sentence, None, facts)


def warning(check: str, sentence: str, remedy: str | None, **facts: object) -> Finding:
    """Returns a finding about something that works but could be better."""
    return Finding(check, Status.WARNING, sentence, remedy, facts)


def failed(check: str, sentence: str, remedy: str, **facts: object) -> Finding:
    """Returns a finding about something that is broken."""
    return Finding(check, Status.FAILED, sentence, remedy, facts)


def skipped(check: str, sentence: str, remedy: str | None = None) -> Finding:
    """Returns the finding of a check that couldn't sensibly run."""
    return Finding(check, Status.SKIPPED, sentence, remedy)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Counts the checks that ended in each way, including zeros."""
    statuses = [finding.status for finding in findings]
    return {status.value: statuses.count(status) for status in Status}


def exit_status(findings: Iterable[Finding]) -> int:
    """Returns 0 if nothing is broken, even if something could be better, and 1 otherwise."""
    broken = any(finding.status is Status.FAILED for finding in findings)
    return EXIT_JOB_FAILED if broken else EXIT_DONE
