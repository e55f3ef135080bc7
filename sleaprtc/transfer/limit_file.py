"""A small file by which another process of the same user changes the limit of a program that runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from ..base.byte_rates import LEAST_BYTES_PER_SEC, MOST_BYTES_PER_SEC, rate_text
from ..base.logs import get_logger
from ..base.private_files import write_private_json
from ..base.sentences import as_clause
from .rate_limit import RateLimit

LOOK_SEC: Final = 1.0
"""How often a program looks for a change."""

MOST_BYTES: Final = 1024
"""Far more than such a file has."""

_KEY: Final = "bytes_per_sec"

_log = get_logger(__name__)


def limited(subject: str, bytes_per_sec: float | None) -> str:
    """Returns the sentence that something's transfers are limited to a rate, or aren't."""
    if bytes_per_sec is None:
        return f"{subject} has no limit on its rate any more."
    return f"{subject} is limited to {rate_text(bytes_per_sec)}."


class LimitFile:
    """The file of one program or job.

    Args:
        path: Where it is. Its folder is private.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: bytes | None = None

    def write(self, bytes_per_sec: float | None) -> None:
        """Sets the limit, or lifts it (None); the program sees it within :data:`LOOK_SEC`.

        Raises:
            StorageError: The file can't be written.
        """
        write_private_json(self._path, {_KEY: bytes_per_sec})

    def clear(self) -> None:
        """Deletes what an earlier program was told. Call it before others can see that this one runs.

        Raises:
            OSError: It can't be deleted.
        """
        self._path.unlink(missing_ok=True)

    async def obey(self, limit: RateLimit, on_change: Callable[[float | None], None]) -> None:
        """Changes a limit as the file says, until cancelled.

        A file that can't be read or understood changes nothing; the log has why, once for each such file.

        Args:
            limit: The limit of the program.
            on_change: Called with each new limit.
        """
        while True:
            content = await trio.to_thread.run_sync(self._changed_content)
            if content is not None:
                try:
                    bytes_per_sec = _read(content)
                except ValueError as error:
                    _log.warning("A change of the limit was ignored.", file=str(self._path), error=str(error))
                else:
                    limit.bytes_per_sec = bytes_per_sec
                    on_change(bytes_per_sec)
            await trio.sleep(LOOK_SEC)

    def _changed_content(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            content = f"can't be read: {as_clause(error)}".encode()  # which is no JSON
        if content == self._seen:
            return None
        self._seen = content
        return content


def _read(content: bytes) -> float | None:
    """Reads a limit.

    Raises:
        ValueError: It isn't one.
    """
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    value = document.get(_KEY, False) if isinstance(document, dict) else False
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not LEAST_BYTES_PER_SEC <= value <= MOST_BYTES_PER_SEC:
        raise ValueError(f"its {_KEY} isn't a limit")
    return float(value)
