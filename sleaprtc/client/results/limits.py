"""How much a worker may send as the result of one job."""

from __future__ import annotations

from typing import Final

from ...protocol.limits import MAX_RESULT_BYTES, MAX_RESULT_FILES, MIB
from ...protocol.transfer import FileOffer

GIB: Final = 1024 * MIB


class ResultAllowance:
    """Counts what a worker offers as its result.

    What is offered again after a lost connection is the same file, and counts once. What the worker itself
    gives up counts each time, and so does what nobody wants: neither may go on for ever.
    """

    def __init__(self) -> None:
        self._sizes_bytes: dict[tuple[str, str, int], int] = {}
        self._ended_count = 0

    def excess(self, offer: FileOffer) -> str | None:
        """Says what is too much about a file, before a byte of it is taken; None where it may come."""
        sizes_bytes = {**self._sizes_bytes, _key(offer): offer.size_bytes}
        if max(len(sizes_bytes), self._ended_count + 1) > MAX_RESULT_FILES:
            return f"more than {MAX_RESULT_FILES} files"
        if sum(sizes_bytes.values()) > MAX_RESULT_BYTES:
            return f"more than {MAX_RESULT_BYTES // GIB} GiB"
        return None

    def begin(self, offer: FileOffer) -> None:
        """Counts a file that is accepted."""
        self._sizes_bytes[_key(offer)] = offer.size_bytes

    def end(self) -> None:
        """Counts a file that has come, that the worker has given up, or that was refused."""
        self._ended_count += 1


def _key(offer: FileOffer) -> tuple[str, str, int]:
    return offer.name, offer.digest, offer.size_bytes
