"""Failures that clients may not have heard of."""

from __future__ import annotations

from typing import Final

from ...protocol.jobs import JobFailed

MAX_CLIENTS: Final = 64


class UnheardFailures:
    """The failure of each client's last job; of the clients that had one last."""

    def __init__(self) -> None:
        self._failures: dict[str, JobFailed] = {}

    def add(self, client_id: str, failure: JobFailed) -> None:
        """Keeps what a client is told."""
        self._failures.pop(client_id, None)
        self._failures[client_id] = failure
        while len(self._failures) > MAX_CLIENTS:
            del self._failures[next(iter(self._failures))]

    def of(self, client_id: str) -> JobFailed | None:
        """What the client was told last, unless it has a new job."""
        return self._failures.get(client_id)

    def forget(self, client_id: str) -> None:
        """Drops it, for a client that has a new job."""
        self._failures.pop(client_id, None)
