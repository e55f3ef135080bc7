"""The client's files, as a job takes them in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from ..errors import ChannelClosedError, JobFailedError, TransferAbortedError, TransferError
from ..transfer.resuming import ResumingTransfers
from ..transfer.stream import IncomingFile, TransferProgress
from .reporter import StatusReporter

CONNECT_WAIT_SEC: Final = 60.0
"""How long a job waits for its client to connect, at first and after each lost connection."""

INPUT_IDLE_SEC: Final = 120.0
"""How long a connected client may take to offer the next file of its job."""

PROGRESS_INTERVAL_SEC: Final = 0.5

_log = logging.getLogger(__name__)


async def receive_inputs(
    job_id: str, job_dir: Path, transfers: ResumingTransfers, reporter: StatusReporter
) -> tuple[Path, tuple[Path, ...]]:
    """Takes configurations until the dataset comes, which is always last.

    Returns:
        The dataset, and the configurations in the order in which they came.

    Raises:
        JobFailedError: The client made no connection, or came back to none.
        TransferError: The client is connected but sends nothing, or something else than it announced.
        StorageError: The files can't be written.
    """
    configs: dict[str, Path] = {}
    while True:
        incoming = await _next_offer(transfers)
        offer = incoming.offer
        if offer.purpose not in ("dataset", "config") or (offer.job_id or job_id) != job_id:
            await incoming.refuse("UNEXPECTED_FILE", "This job takes a dataset and configurations.")
            continue
        directory = job_dir / offer.purpose
        directory.mkdir(parents=True, exist_ok=True)
        try:
            path = await incoming.accept(directory, progress=_receiving(reporter))
        except (ChannelClosedError, TransferAbortedError) as error:
            _log.info("Job %s: %s Waiting for the client.", job_id, error)
            continue
        if offer.purpose == "dataset":
            return path, tuple(configs.values())
        configs[path.name] = path


async def _next_offer(transfers: ResumingTransfers) -> IncomingFile:
    while True:
        with trio.move_on_after(CONNECT_WAIT_SEC):
            await transfers.wait_connected()
        if not transfers.is_connected:
            raise JobFailedError(
                "The client made no data channel to this worker.",
                error_code="CLIENT_LOST",
                recoverable=True,
            )
        with trio.move_on_after(INPUT_IDLE_SEC):
            return await transfers.next_offer()
        if transfers.is_connected:
            raise TransferError("The client is connected but sent no dataset.")


def _receiving(reporter: StatusReporter) -> Callable[[TransferProgress], None]:
    last_sec = -PROGRESS_INTERVAL_SEC

    def report(progress: TransferProgress) -> None:
        nonlocal last_sec
        now = trio.current_time()
        if now - last_sec >= PROGRESS_INTERVAL_SEC:
            last_sec = now
            done = progress.received_bytes / progress.size_bytes if progress.size_bytes else 1.0
            reporter.report("receiving", done, message=f"Receiving {progress.name}.")

    return report
