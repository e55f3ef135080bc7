"""Remembers failures that clients may not have received."""

from __future__ import annotations

from typing import Final

from ...protocol.jobs import JobFailed

MAX_CLIENTS: Final = 64


class UnheardFailures:
    """The latest failure of each client, for the clients that failed most recently."""

    def __init__(self) -> None:
        self._failures: dict[str, JobFailed] = {}

    def add(self, client_id: str, failure: JobFailed) -> None:
        """Remembers a failure that is sent to a client."""
        self._failures.pop(client_id, None)
        self._failures[client_id] = failure
        while len(self._failures) > MAX_CLIENTS:
            del self._failures[next(iter(self._failures))]

    def of(self, client_id: str) -> JobFailed | None:
        """Returns the client's latest failure, unless it has begun a new job."""
        return self._failures.get(client_id)

    def forget(self, client_id: str) -> None:
        """Forgets the failure of a client that begins a new job."""
        self._failures.pop(client_id, None)
