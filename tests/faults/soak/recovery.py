"""Finds out when jobs go on after a fault."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import trio

READ_INTERVAL_SEC = 0.1
KEPT_STEPS = 5000

_SHOWS_PROGRESS = frozenset({"status", "transfer", "connected", "completed"})


@attrs.frozen
class Step:
    """A step of a client's job.

    Attributes:
        at: When it happened, on Trio's clock.
        client: The client.
        worker: The worker, if it is known.
        is_done: Whether the job is done and its model is right.
    """

    at: float
    client: str
    worker: str | None
    is_done: bool = False


@attrs.frozen
class Concerned:
    """Who was affected by a fault and must go on: each of these clients, or any job of this worker."""

    clients: tuple[str, ...]
    worker: str | None = None

    def first_after(self, at: float, steps: Collection[Step], *, done: bool) -> float | None:
        """Returns when everybody affected had gone on, or had a job done; None while somebody hasn't."""
        later = [step for step in steps if step.at >= at and (step.is_done or not done)]
        if self.worker is not None:
            return min((step.at for step in later if step.worker == self.worker), default=None)
        firsts = [min((s.at for s in later if s.client == name), default=None) for name in self.clients]
        known = [first for first in firsts if first is not None]
        return max(known) if known and len(known) == len(firsts) else None


@attrs.define
class Progress:
    """The steps of all jobs, read from the clients' output."""

    steps: list[Step] = attrs.field(factory=list)

    def add(self, client: str, worker: str | None, *, is_done: bool = False) -> None:
        """Records a step that happened just now."""
        self.steps.append(Step(trio.current_time(), client, worker, is_done))
        del self.steps[:-KEPT_STEPS]

    async def read(self, client: str, output: Path) -> None:
        """Records the steps that a client prints, until cancelled."""
        offset, worker = 0, None
        while True:
            with output.open("rb") as file:
                file.seek(offset)
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                offset += len(whole) + 1
                for event in _events(whole.splitlines()):
                    worker = worker_of(event) or worker
                    if event.get("event") in _SHOWS_PROGRESS:
                        self.add(client, worker)
            await trio.sleep(READ_INTERVAL_SEC)

    async def until(self, concerned: Concerned, at: float, *, done: bool) -> float:
        """Waits until everybody affected has gone on, or has a job done; returns the seconds since then."""
        while (moment := concerned.first_after(at, self.steps, done=done)) is None:
            await trio.sleep(READ_INTERVAL_SEC)
        return moment - at


def worker_of(event: dict[str, Any]) -> str | None:
    """Returns the worker that an event names, or None."""
    name = event.get("chosen") if event.get("event") == "answers" else event.get("worker")
    return name if isinstance(name, str) else None


def _events(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event
