"""Limits how much a worker may send as the result of one job."""

from __future__ import annotations

from typing import Final

from ...protocol.limits import MAX_RESULT_BYTES, MAX_RESULT_FILES, MIB
from ...protocol.transfer import FileOffer

GIB: Final = 1024 * MIB


class ResultAllowance:
    """Counts the files that a worker offers as its result.

    A file that is offered again after a lost connection counts once. A transfer that the worker gives up or
    that this side refuses counts each time, so that neither can go on forever.
    """

    def __init__(self) -> None:
        self._sizes_bytes: dict[tuple[str, str, int], int] = {}
        self._ended_count = 0

    def excess(self, offer: FileOffer) -> str | None:
        """Returns which limit an offered file would exceed, or None if it may be accepted."""
        sizes_bytes = {**self._sizes_bytes, _key(offer): offer.size_bytes}
        if max(len(sizes_bytes), self._ended_count + 1) > MAX_RESULT_FILES:
            return f"more than {MAX_RESULT_FILES} files"
        if sum(sizes_bytes.values()) > MAX_RESULT_BYTES:
            return f"more than {MAX_RESULT_BYTES // GIB} GiB"
        return None

    def begin(self, offer: FileOffer) -> None:
        """Counts an accepted file."""
        self._sizes_bytes[_key(offer)] = offer.size_bytes

    def end(self) -> None:
        """Counts a transfer that has ended: completed, given up by the worker, or refused."""
        self._ended_count += 1


def _key(offer: FileOffer) -> tuple[str, str, int]:
    return offer.name, offer.digest, offer.size_bytes
