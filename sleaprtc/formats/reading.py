"""The border between libraries that read files and the rest of the package.

A broken or hostile file makes a library raise many kinds of exceptions, more than any of them documents.
Every reader of files from others works inside :func:`reading`, which turns all of them into the one error of
this package that the caller names.
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
"""Causes that lie in this machine and not in a file. Libraries raise OSError for broken content, too."""

_log = get_logger(__name__)


class FileLimitError(ValueError):
    """A file holds more than is read of it."""


@attrs.frozen
class FileFormat:
    """A format that others' files come in.

    Attributes:
        name: What sentences call it.
        known_errors: What its library is known to raise over broken content. Anything else is translated too,
            and is logged with its traceback.
        plain_reasons: Parts of its library's messages that say nothing to a person, and what to say instead;
            the first that fits counts.
    """

    name: str
    known_errors: tuple[type[Exception], ...]
    plain_reasons: tuple[tuple[str, str], ...] = ()


NO_LABELS: Final = "it is no SLEAP labels file"
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
        OSError,  # bz2, and a seek to where no byte can be
        RuntimeError,  # an encrypted member; NotImplementedError is one
    ),
    (
        ("File is not a zip file", "it is another kind of file"),
        ("Invalid argument", DAMAGED),  # a seek
    ),
)
CONFIGURATION: Final = FileFormat("a training configuration", (*_ANY_PARSER, AttributeError))
HDF5: Final = FileFormat(
    "an HDF5 file",
    (*_ANY_PARSER, OSError, RuntimeError, AttributeError),
    (
        ("file signature not found", NO_LABELS),
        ("doesn't exist", NO_LABELS),  # another program's file, such as an analysis of SLEAP's
        ("can't locate attribute", NO_LABELS),
        ("truncated file", CUT_OFF),
        ("Unable to ", DAMAGED),  # what the library says of all else: with calls and addresses
    ),
)


@contextmanager
def reading(
    file_format: FileFormat, name: str, error: type[SleapRTCError], *, as_what: str | None = None
) -> Iterator[None]:
    """Translates whatever the block raises over a file's content.

    Args:
        file_format: What the file should be.
        name: The file's, for the sentence.
        error: What a broken file is to the caller.
        as_what: What the caller reads it as, for the sentence; by default the format's name.

    Raises:
        SleapRTCError: Of the class ``error``: the content can't be read. This package's own errors pass.
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
    """Translates a failure to write, which is no fault of the file that is read.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name} can't be written: {as_clause(error)}.") from error


def _plain_reason(file_format: FileFormat, cause: Exception) -> str:
    if isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL):
        return os.strerror(cause.errno)  # HDF5 puts a call and its arguments around it
    said = str(cause)
    plain = (reason for part, reason in file_format.plain_reasons if part in said)
    return next(plain, None) or reason_of(cause)


def reason_of(cause: Exception) -> str:
    """Makes a library's message short, printable and fit for the middle of a sentence."""
    if isinstance(cause, RecursionError):
        return "it is nested too deeply"
    if isinstance(cause, MemoryError):
        return "it would take too much memory"
    printable = "".join(char if char.isprintable() else " " for char in as_clause(cause)[:MAX_REASON_CHARS])
    return printable.rstrip(". ") or type(cause).__name__


def shown(name: object) -> str:
    """A name out of a file, fit for a sentence: quoted, ASCII and short."""
    return ascii(name if isinstance(name, bytes) else str(name)[:80])[:90]
