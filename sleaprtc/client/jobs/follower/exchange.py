"""The files of one job: the client sends its inputs and receives its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from ....base.sentences import as_sentence
from ....errors import (
    BrokenResultError,
    ChannelClosedError,
    StorageError,
    TransferAbortedError,
    TransferError,
)
from ....protocol.vocabulary import ErrorCode, Purpose
from ....transfer.resuming import ResumingTransfers
from ....transfer.stream import IncomingFile, TransferProgress
from ...events.job import Direction, Emit, Notice, Transferred
from ...inputs.files import JobFiles
from ...results.delivery import TRY_ELSEWHERE, check_room_for
from ...results.limits import ResultAllowance

FURTHER_FILE_SEC: Final = 2.0
"""How soon the next of several files is offered by a worker that doesn't announce how many there are."""

REFUSAL_WAIT_SEC: Final = 2.0
"""After refusing a file, a worker sends ``job_failed`` with the reason why the job can't continue."""


class FileExchange:
    """Moves one job's files over the connections to its worker.

    Args:
        transfers: Those connections' transfers.
        files: What to send, and the folder for what comes back.
        worker_id: The job's worker.
        job_id: The client's name for the job.
        emit: Called with each event.

    Attributes:
        received: The files of the result that are here.
        is_offered: Whether the worker has offered a file of the result.
        has_result: Whether the whole result is here.
        last_activity: ``trio.current_time()`` of the last bytes in either direction, or of the beginning.
    """

    def __init__(
        self, transfers: ResumingTransfers, files: JobFiles, *, worker_id: str, job_id: str, emit: Emit
    ) -> None:
        self._transfers = transfers
        self._files = files
        self._worker_id = worker_id
        self._job_id = job_id
        self._emit = emit
        self.received: list[Path] = []
        self.is_offered = False
        self.has_result = False
        self.last_activity = trio.current_time()

    async def send_inputs(self) -> None:
        """Sends the job's inputs.

        Raises:
            TransferError: The worker refused a file, or one side gave up.
            StorageError: A file can't be read.
        """
        report = self._reporting(Direction.SEND)
        try:
            for file in self._files.inputs:
                await self._transfers.send_file(
                    file.path,
                    purpose=file.purpose,
                    name=file.name,
                    job_id=self._job_id,
                    progress=report,
                )
        except TransferError as error:
            await trio.sleep(REFUSAL_WAIT_SEC)
            raise type(error)(f"{self._worker_id}: {as_sentence(error)}") from error

    async def receive_result(self, announced: Callable[[], int | None]) -> None:
        """Receives the job's result, to its last file.

        Args:
            announced: Returns how many files the worker has announced, or None if it hasn't.

        Raises:
            BrokenResultError: The worker sends more than a result can be.
            StorageError: A file can't be written.
            TransferError: A file didn't arrive as it was announced.
        """
        allowance, report = ResultAllowance(), self._reporting(Direction.RECEIVE)
        while (incoming := await self._next_file(announced)) is not None:
            excess = allowance.excess(incoming.offer)
            if excess is not None:
                await incoming.refuse(ErrorCode.TOO_LARGE, f"A client accepts no result of {excess}.")
                await trio.to_thread.run_sync(_remove, self.received)
                raise BrokenResultError(
                    f"{self._worker_id} sent {excess} as its result; none of it is kept. {TRY_ELSEWHERE}"
                )
            if incoming.offer.purpose not in (Purpose.MODEL, Purpose.PREDICTIONS):
                await incoming.refuse(ErrorCode.UNEXPECTED_FILE, "A client accepts models and predictions.")
                allowance.end()
                continue
            self.is_offered = True
            if incoming.offer.purpose == Purpose.MODEL:
                await self._check_room(incoming)
            allowance.begin(incoming.offer)
            try:
                path = await incoming.accept(self._files.incoming_dir, progress=report)
            except (ChannelClosedError, TransferAbortedError) as error:
                self._emit(Notice(f"{as_sentence(error)} Waiting for the worker to try again."))
                if isinstance(error, TransferAbortedError):
                    allowance.end()
                continue
            allowance.end()
            self.received.append(path)
        self.has_result = True

    async def _check_room(self, incoming: IncomingFile) -> None:
        """Refuses a model for which there is no room, so that its worker keeps it."""
        try:
            await trio.to_thread.run_sync(check_room_for, incoming.offer, self._files.incoming_dir)
        except StorageError as error:
            await incoming.refuse(error.code, str(error))
            raise

    async def _next_file(self, announced: Callable[[], int | None]) -> IncomingFile | None:
        """Waits for a file. If the worker announces no number, silence follows the last one."""
        count = announced()
        if count is not None and len(self.received) >= count:
            return None
        with trio.move_on_after(FURTHER_FILE_SEC if self.received else math.inf):
            return await self._transfers.next_offer()
        return None

    def _reporting(self, direction: Direction) -> Callable[[TransferProgress], None]:
        def report(progress: TransferProgress) -> None:
            self.last_activity = trio.current_time()
            self._emit(
                Transferred(
                    direction,
                    self._files.under_own_names(progress.name),
                    progress.size_bytes,
                    progress.received_bytes,
                    progress.offset_bytes,
                )
            )

        return report


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink()
