"""Translates the exceptions of libraries that read files.

A broken or hostile file can make a library raise more exceptions than it documents. Every reader of untrusted
files works inside :func:`reading`, which turns all of them into the one error class that the caller names.
"""

from __future__ import annotations

import errno
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from ..base.logs import get_logger
from ..base.sentences import as_clause
from ..errors import SleapRTCError, StorageError

MAX_REASON_CHARS: Final = 160

_MACHINE_ERRNOS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""Errors of this machine, not of a file. Libraries raise OSError for broken content, too."""

_log = get_logger(__name__)


class FileLimitError(ValueError):
    """A file exceeds a limit of what is read."""


@attrs.frozen
class FileFormat:
    """The format of an untrusted file.

    Attributes:
        name: Its name, for messages.
        known_errors: What its library is known to raise for broken content. Other exceptions are translated,
            too, and are logged with their traceback.
        plain_reasons: Parts of its library's messages that mean nothing to users, each with a replacement for
            the whole message. The first part that matches counts.
    """

    name: str
    known_errors: tuple[type[Exception], ...]
    plain_reasons: tuple[tuple[str, str], ...] = ()


NO_LABELS: Final = "it isn't a SLEAP labels file"
CUT_OFF: Final = "it was cut off: copy or export it again"
DAMAGED: Final = "it is damaged: copy or export it again"

_ANY_PARSER: Final = (ValueError, TypeError, KeyError, IndexError, RecursionError, MemoryError, OverflowError)

ZIP: Final = FileFormat(
    "a zip file",
    (
        *_ANY_PARSER,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        EOFError,
        OSError,  # from bz2, and from a seek to an impossible offset
        RuntimeError,  # for an encrypted member; includes NotImplementedError
    ),
    (
        ("File is not a zip file", "it is another kind of file"),
        ("Invalid argument", DAMAGED),  # from a seek
    ),
)
CONFIGURATION: Final = FileFormat("a training configuration", (*_ANY_PARSER, AttributeError))
HDF5: Final = FileFormat(
    "an HDF5 file",
    (*_ANY_PARSER, OSError, RuntimeError, AttributeError),
    (
        ("file signature not found", NO_LABELS),
        ("doesn't exist", NO_LABELS),  # another kind of file, such as one of SLEAP's analysis exports
        ("can't locate attribute", NO_LABELS),
        ("truncated file", CUT_OFF),
        ("Unable to ", DAMAGED),  # the library's other messages, which contain calls and addresses
    ),
)


@contextmanager
def reading(
    file_format: FileFormat, name: str, error: type[SleapRTCError], *, as_what: str | None = None
) -> Iterator[None]:
    """Translates whatever the block raises because of a file's content.

    Args:
        file_format: The format that the file should have.
        name: The file's name, for messages.
        error: The class to raise for a broken file.
        as_what: What the caller reads it as, for messages; by default the format's name.

    Raises:
        SleapRTCError: Of the class ``error``: the content can't be read. This package's own errors pass
            unchanged.
        StorageError: The disk failed or is full.
    """
    try:
        yield
    except SleapRTCError:
        raise
    except Exception as cause:
        if isinstance(cause, OSError) and cause.errno in _MACHINE_ERRNOS:
            raise StorageError(f"{name} can't be read: {as_clause(cause)}.") from cause
        if not isinstance(cause, file_format.known_errors):
            _log.exception("A file made its library fail in an unknown way.", file=name)
        sentence = (
            f"{name} can't be read as {as_what or file_format.name} ({_plain_reason(file_format, cause)})."
        )
        raise error(sentence) from cause


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Translates a failure to write, which isn't a fault of the file being read.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name} can't be written: {as_clause(error)}.") from error


def _plain_reason(file_format: FileFormat, cause: Exception) -> str:
    if isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL):
        return os.strerror(cause.errno)  # without the call and arguments that HDF5 adds
    said = str(cause)
    plain = (reason for part, reason in file_format.plain_reasons if part in said)
    return next(plain, None) or reason_of(cause)


def reason_of(cause: Exception) -> str:
    """Returns a library's message made short and printable, for use in the middle of a sentence."""
    if isinstance(cause, RecursionError):
        return "it is nested too deeply"
    if isinstance(cause, MemoryError):
        return "it would take too much memory"
    printable = "".join(char if char.isprintable() else " " for char in as_clause(cause)[:MAX_REASON_CHARS])
    return printable.rstrip(". ") or type(cause).__name__


def shown(name: object) -> str:
    """Returns a name from a file, made safe for messages: quoted, in ASCII, and at most 90 characters."""
    return ascii(name if isinstance(name, bytes) else str(name)[:80])[:90]
