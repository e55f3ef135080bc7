"""Files on this side's disk: one that is read to be sent, one that is written as it comes.

Synchronous; the stream runs it in threads. The operating system's errors become
:class:`~sleaprtc.errors.StorageError`, with the file's name but not its folder, since the other side
gets to read them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import blake3

from ..base.private_files import make_private_dirs
from ..base.sentences import as_clause
from ..errors import StorageError, TransferAbortedError
from ..protocol.limits import MIB
from .names import RESERVED_PREFIX

HASH_STEP_BYTES: Final = 32 * MIB
"""Hashed in one go: about 20 ms, between which a cancellation is noticed."""

SYNC_BYTES: Final = 32 * MIB
"""Written between two waits for the disk, after which the system needn't remember it.

What it holds back would all be waited for at the end, when nothing else is left to do meanwhile; and it would
hold it back in memory that others' files are in, or that a virtual machine has to get from its host first,
which costs ten times as much as writing does.
"""

DISK_RESERVE_BYTES: Final = 16 * MIB
"""Left free, so that a file that just fits doesn't stop everything else on the machine."""


class DiskFullError(StorageError):
    """What is to be written doesn't fit on the disk."""


class Hasher(Protocol):
    """The part of hashlib's objects that is used here; BLAKE3's have it too."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Adds data."""

    def hexdigest(self) -> str:
        """Returns the digest of what was added."""


def new_hasher(algorithm: str) -> Hasher:
    """Returns a hasher for ``sha256`` or ``blake3``."""
    if algorithm == "blake3":
        hasher: Hasher = blake3.blake3()
        return hasher
    return hashlib.sha256()


@contextlib.contextmanager
def _storage_errors(name: str, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name} can't be {verb}: {as_clause(error)}.") from error


def hash_step(file: BinaryIO, hasher: Hasher, name: str) -> int:
    """Hashes the next part of a file; returns how many bytes it had, 0 at the end.

    Raises:
        StorageError: The file can't be read.
    """
    hashed_bytes = 0
    block = memoryview(bytearray(MIB))  # one for all: fresh memory costs as much as BLAKE3 does
    with _storage_errors(name, "read"):
        while hashed_bytes < HASH_STEP_BYTES and (byte_count := file.readinto(block)):  # type: ignore[attr-defined]
            hasher.update(block[:byte_count])
            hashed_bytes += byte_count
    return hashed_bytes


def hash_file(path: Path, algorithm: str) -> str:
    """The digest of a whole file, in hexadecimal.

    Raises:
        StorageError: The file can't be read.
    """
    hasher = new_hasher(algorithm)
    with _storage_errors(path.name, "read"), path.open("rb") as file:
        while hash_step(file, hasher, path.name):
            pass
    return hasher.hexdigest()


# --- sending --------------------------------------------------------------------------------


class SourceFile:
    """A file being sent, which must stay as it is meanwhile.

    Attributes:
        name: Its file name, for messages.
        size_bytes: Its size when it was opened.
        file: Open for reading.
    """

    def __init__(self, path: Path) -> None:
        """Opens it.

        Raises:
            StorageError: It isn't there, isn't a file, or can't be read.
        """
        self.name = path.name
        with _storage_errors(path.name, "read"):
            if path.is_dir():
                raise StorageError(f"{path.name} is a folder; only files can be sent.")
            self.file = path.open("rb")
            status = os.fstat(self.file.fileno())
        self.size_bytes = status.st_size
        self._modified_ns = status.st_mtime_ns

    def check_unchanged(self) -> None:
        """Compares size and time of change with those at the beginning.

        Raises:
            TransferAbortedError: They differ.
        """
        with _storage_errors(self.name, "read"):
            status = os.fstat(self.file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.size_bytes, self._modified_ns):
            raise TransferAbortedError(f"{self.name} was changed while it was being sent.")

    def read(self, offset_bytes: int, byte_count: int, message_bytes: int) -> list[bytes]:
        """Reads a part of it, in pieces of at most ``message_bytes``.

        Raises:
            StorageError: It can't be read.
            TransferAbortedError: It has changed.
        """
        end_bytes = offset_bytes + byte_count
        with _storage_errors(self.name, "read"):
            pieces = [
                os.pread(self.file.fileno(), min(message_bytes, end_bytes - start), start)
                for start in range(offset_bytes, end_bytes, message_bytes)
            ]
        self.check_unchanged()
        return pieces

    def close(self) -> None:
        """Closes it."""
        self.file.close()


# --- receiving ------------------------------------------------------------------------------


class PartialFile:
    """A file on its way in: hidden, named for its content, and renamed when it's whole.

    Attributes:
        path: Where it will be.
        written_bytes: How much of it is here.
        file: Open for reading and writing, positioned at the end of what is hashed.
    """

    def __init__(self, directory: Path, name: str, size_bytes: int, digest: tuple[str, str]) -> None:
        """Opens what an earlier attempt has left, or begins anew.

        Raises:
            StorageError: The folder can't be written, or the same content is being received into it.
        """
        self.path = directory / name
        self._algorithm, self._hex_digest = digest
        self._partial_path = directory / f"{RESERVED_PREFIX}{self._algorithm}-{self._hex_digest}.part"
        self._size_bytes = size_bytes
        self._hasher = new_hasher(self._algorithm)
        self.written_bytes = 0
        self._unsynced_bytes = 0
        with _storage_errors(name, "written"):
            make_private_dirs(directory)
            if self.path.is_dir():
                raise StorageError(f"{name} can't be written: there is a folder of that name.")
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self.file = os.fdopen(os.open(self._partial_path, flags, 0o666), "r+b", buffering=0)
        try:
            self._claim(name)
        except BaseException:
            self.file.close()
            raise

    def _claim(self, name: str) -> None:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(f"{name} is being received into the same folder already.") from error
        with _storage_errors(name, "written"):
            if os.fstat(self.file.fileno()).st_size > self._size_bytes:
                self.file.truncate(0)

    def rehash_step(self) -> int:
        """Takes in the next part of what an earlier attempt left; returns its size, 0 at the end.

        Raises:
            StorageError: It can't be read.
        """
        step_bytes = hash_step(self.file, self._hasher, self.path.name)
        self.written_bytes += step_bytes
        return step_bytes

    def check_space(self) -> None:
        """Looks whether the rest fits on the disk.

        Raises:
            DiskFullError: It doesn't.
        """
        with _storage_errors(self.path.name, "written"):
            free_bytes = shutil.disk_usage(self.path.parent).free
        missing_bytes = self._size_bytes - self.written_bytes
        if missing_bytes and missing_bytes + DISK_RESERVE_BYTES > free_bytes:
            raise DiskFullError(
                f"{self.path.name} needs {missing_bytes / MIB:.1f} MiB and "
                f"{DISK_RESERVE_BYTES / MIB:.0f} MiB to spare, "
                f"and the disk has {free_bytes / MIB:.1f} MiB free."
            )

    def write(self, chunks: Sequence[bytes]) -> int:
        """Appends; returns how many bytes.

        Raises:
            StorageError: The disk is full or fails.
        """
        written_bytes = 0
        with _storage_errors(self.path.name, "written"):
            for chunk in chunks:  # without joining them: that would be a copy of everything
                self._write_chunk(chunk)
                written_bytes += len(chunk)
            self._unsynced_bytes += written_bytes
            if self._unsynced_bytes >= SYNC_BYTES:
                self._sync()
        self.written_bytes += written_bytes
        return written_bytes

    def _write_chunk(self, chunk: bytes) -> None:
        taken_bytes = self.file.write(chunk) or 0
        while taken_bytes < len(chunk):  # a raw write may take less than it's given
            taken_bytes += self.file.write(memoryview(chunk)[taken_bytes:]) or 0
        self._hasher.update(chunk)

    def _sync(self) -> None:
        file = self.file.fileno()
        os.fsync(file)
        if sys.platform == "linux":
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        self._unsynced_bytes = 0

    @property
    def is_whole(self) -> bool:
        """Whether it has the size that was announced."""
        return self.written_bytes == self._size_bytes

    @property
    def is_right(self) -> bool:
        """Whether it has the digest that was announced."""
        return self._hasher.hexdigest() == self._hex_digest

    def start_over(self) -> None:
        """Forgets what an earlier attempt has left.

        Raises:
            StorageError: The file can't be written.
        """
        with _storage_errors(self.path.name, "written"):
            self.file.truncate(0)
            self.file.seek(0)
        self._hasher = new_hasher(self._algorithm)
        self.written_bytes = 0

    def commit(self) -> None:
        """Puts the file in its place, for good: content first, then its name.

        Raises:
            StorageError: The disk fails.
        """
        with _storage_errors(self.path.name, "written"):
            os.fsync(self.file.fileno())
            self._partial_path.replace(self.path)
            self.file.close()
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def keep(self, chunks: Sequence[bytes] = ()) -> None:
        """Leaves what is here, and ``chunks`` after it, for another attempt; nothing stays nothing.

        Does nothing after :meth:`commit`, :meth:`discard` and itself.
        """
        if self.file.closed:
            return
        with contextlib.suppress(StorageError):
            self.write(chunks)
        if self.written_bytes == 0:
            self.discard()
        else:
            self.file.close()

    def discard(self) -> None:
        """Removes it. Does nothing after :meth:`commit`, :meth:`keep` and itself."""
        if not self.file.closed:  # else another attempt may have it by now
            with contextlib.suppress(OSError):
                self._partial_path.unlink()
            self.file.close()


def open_existing(path: Path, size_bytes: int) -> BinaryIO | None:
    """Opens the file of that name if it may be the one that is offered: a plain file of its size."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != size_bytes:
            return None
        return path.open("rb")
    except OSError:
        return None
