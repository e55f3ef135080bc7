"""Text from others on its way to a terminal or a log."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Final, TypeAlias

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_ExceptionInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def printable(text: str) -> str:
    """Replaces what could move a cursor, change a terminal's state, or begin a line of its own."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


class PrintableFormatter(logging.Formatter):
    """Formats log records so that names and words of peers can't forge lines or control a terminal."""

    def __init__(self) -> None:
        super().__init__(LOG_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """Writes a record's line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802  # logging's own name
        """Writes a traceback, whose lines stay lines."""
        return "\n".join(map(printable, super().formatException(ei).splitlines()))


def log_to_standard_error(level: int) -> None:
    """Sends the log of this process to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(level=level, handlers=[handler])
