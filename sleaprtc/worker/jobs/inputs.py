"""Receives the client's files for a job."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...base.logs import get_logger
from ...base.private_files import make_private_dirs
from ...errors import (
    ChannelClosedError,
    InvalidFileNameError,
    JobFailedError,
    SenderStalledError,
    TransferAbortedError,
    TransferError,
)
from ...formats.documents import MAX_CONFIG_BYTES
from ...protocol.limits import CONNECT_SEC, MIB, RETURN_SEC
from ...protocol.transfer import FileOffer
from ...protocol.vocabulary import ErrorCode, Phase, Purpose
from ...transfer.arrival import Pace
from ...transfer.disk import DiskFullError
from ...transfer.names import checked_name
from ...transfer.resuming import ResumingTransfers
from ...transfer.stream import IncomingFile, TransferProgress
from .cache import FileCache, JobCache
from .statuses import StatusReporter

INPUT_IDLE_SEC: Final = 120.0
"""How long a connected client may take to offer the next file of its job."""

MAX_FILES_BEFORE_DATASET: Final = 16
"""There is one for each head, and no model type has more than two."""

PROGRESS_INTERVAL_SEC: Final = 0.5

_log = get_logger(__name__)


_CACHED_PURPOSES: Final[Collection[str]] = frozenset({Purpose.DATASET, Purpose.MODEL, Purpose.VALIDATION})
_IN_WORDS: Final[Mapping[str, str]] = {
    Purpose.CONFIG: "configurations",
    Purpose.MODEL: "models",
    Purpose.VALIDATION: "validation labels",
}


@attrs.frozen
class JobInputs:
    """The client's files: the dataset, and those that came before it, in order of arrival."""

    dataset: Path
    configs: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()

    @property
    def by_purpose(self) -> Mapping[str, Sequence[Path]]:
        """The files by what they are for."""
        return {
            Purpose.DATASET: (self.dataset,),
            Purpose.CONFIG: self.configs,
            Purpose.MODEL: self.models,
            Purpose.VALIDATION: self.validation,
        }


async def receive_inputs(
    job_id: str,
    job_dir: Path,
    transfers: ResumingTransfers,
    reporter: StatusReporter,
    cache: FileCache | JobCache | None = None,
    max_dataset_bytes: float = math.inf,
    takes: tuple[str, ...] = (Purpose.CONFIG,),
    check_space: Callable[[int], None] = lambda _: None,
) -> JobInputs:
    """Receives configurations or models until the dataset arrives, which comes last.

    If the job needs models and the dataset comes first, it is kept until the first model is there.

    A dataset or model that is in the cache isn't sent again: it is put in its place, where accepting the
    offer finds and verifies it.

    Args:
        job_id: Whose files they are.
        job_dir: Where they go, in a folder for each purpose.
        transfers: Where they come from.
        reporter: Receives the progress.
        cache: Files of earlier jobs.
        max_dataset_bytes: The largest dataset or model that is accepted.
        takes: Purposes of files that may come before the dataset.
        check_space: Called in a thread with the size of each file that is offered. Raises DiskFullError if
            other jobs have reserved the disk that it needs.

    Raises:
        JobFailedError: The client made no connection, or came back to none.
        TransferError: The client is connected but sends nothing, or something else than it announced.
        SenderStalledError: It stops sending, or sends hardly anything.
        StorageError: The files can't be written.
    """
    received: dict[str, dict[str, Path]] = {purpose: {} for purpose in takes}
    dataset: Path | None = None
    checked: set[str] = set()
    pace = Pace()  # shared by all files and attempts: offering a file again doesn't restart the clock
    while dataset is None or not received.get(Purpose.MODEL, True):
        incoming = await _next_offer(transfers, pace)
        offer = incoming.offer
        if offer.purpose not in (Purpose.DATASET, *takes) or (offer.job_id or job_id) != job_id:
            wanted = " and ".join(["a dataset", *(_IN_WORDS[purpose] for purpose in takes)])
            await incoming.refuse(ErrorCode.UNEXPECTED_FILE, f"This job takes {wanted}.")
            continue
        await _refuse_excess(incoming, len(received.get(offer.purpose, ())), max_dataset_bytes)
        if offer.digest not in checked:  # else a part of it is here already
            await _refuse_without_space(incoming, check_space)
            checked.add(offer.digest)
        directory = job_dir / offer.purpose
        make_private_dirs(directory)
        if cache is not None and offer.purpose in _CACHED_PURPOSES:
            await _fetch(cache, offer, directory)
        try:
            path = await incoming.accept(directory, progress=_receiving(reporter), pace=pace)
        except SenderStalledError:
            raise
        except (ChannelClosedError, TransferAbortedError) as error:
            _log.info("Waiting for the client.", error=str(error))
            continue
        if cache is not None and offer.purpose in _CACHED_PURPOSES:
            await trio.to_thread.run_sync(cache.add, offer.digest, path)
        if offer.purpose == Purpose.DATASET:
            dataset = path
        else:
            received[offer.purpose][path.name] = path
    others = {purpose: tuple(paths.values()) for purpose, paths in received.items()}
    return JobInputs(
        dataset,
        configs=others.get(Purpose.CONFIG, ()),
        models=others.get(Purpose.MODEL, ()),
        validation=others.get(Purpose.VALIDATION, ()),
    )


async def _refuse_excess(incoming: IncomingFile, count_before: int, max_dataset_bytes: float) -> None:
    excess = _excess(incoming.offer, count_before, max_dataset_bytes)
    if excess is not None:
        await incoming.refuse(ErrorCode.TOO_LARGE, excess)
        raise TransferError(excess)


async def _refuse_without_space(incoming: IncomingFile, check_space: Callable[[int], None]) -> None:
    try:
        await trio.to_thread.run_sync(check_space, incoming.offer.size_bytes)
    except DiskFullError as error:
        await incoming.refuse(ErrorCode.DISK_FULL, str(error))
        raise


def _excess(offer: FileOffer, count_before: int, max_dataset_bytes: float) -> str | None:
    """Returns what is too much about an offered file, if anything, before a byte of it is received."""
    if count_before >= MAX_FILES_BEFORE_DATASET:
        return f"A job takes at most {MAX_FILES_BEFORE_DATASET} {_IN_WORDS[offer.purpose]}."
    if offer.purpose in _CACHED_PURPOSES:
        if offer.size_bytes <= max_dataset_bytes:
            return None
        return (
            f"The {offer.purpose} has {offer.size_bytes / MIB:.0f} MiB, and the worker's owner allows "
            f"{max_dataset_bytes / MIB:.0f}."
        )
    if offer.size_bytes > MAX_CONFIG_BYTES:
        return f"A configuration may have at most {MAX_CONFIG_BYTES // 1024} KiB."
    return None


async def _fetch(cache: FileCache | JobCache, offer: FileOffer, directory: Path) -> None:
    try:
        target = directory / checked_name(offer.name)
    except InvalidFileNameError:
        return  # accepting it tells the sender
    if await trio.to_thread.run_sync(cache.fetch, offer.digest, offer.size_bytes, target):
        _log.info("A file was here before, and needn't be sent.", file=target.name)


async def _next_offer(transfers: ResumingTransfers, pace: Pace) -> IncomingFile:
    while True:
        since_sec = trio.current_time()
        with trio.move_on_after(RETURN_SEC if transfers.was_connected else CONNECT_SEC):
            await transfers.wait_connected()
        if not transfers.is_connected:
            raise JobFailedError(
                "The client made no data channel to this worker.",
                error_code=ErrorCode.CLIENT_LOST,
                recoverable=True,
            )
        with trio.move_on_after(INPUT_IDLE_SEC):
            incoming = await transfers.next_offer()
            pace.add(trio.current_time() - since_sec, 0)
            return incoming
        pace.add(trio.current_time() - since_sec, 0)
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
            reporter.report(Phase.RECEIVING, done, message=f"Receiving {progress.name}.")

    return report
