"""Files on this side's disk: those being sent, and those being received.

The functions are synchronous; the stream runs them in threads. Operating system errors become
:class:`~sleaprtc.errors.StorageError`. They name the file but not its folder, since they are sent to the
other side.
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
from ..protocol.vocabulary import DigestAlgorithm
from .names import RESERVED_PREFIX

HASH_STEP_BYTES: Final = 32 * MIB
"""Hashed in one go, which takes about 20 ms. Cancellations are noticed between steps."""

SYNC_BYTES: Final = 32 * MIB
"""Written between two calls of fsync, after which the data is dropped from the page cache.

Without these calls the final fsync would wait for all of it, with nothing else to do in the meantime. The
cached data would also displace other files' data, or take memory that a virtual machine first has to get from
its host, which costs ten times as much as writing.
"""

DISK_RESERVE_BYTES: Final = 16 * MIB
"""Left free, so that a file that only just fits doesn't leave the machine with a full disk."""


class DiskFullError(StorageError):
    """The file doesn't fit on the disk."""


class Hasher(Protocol):
    """The part of hashlib's interface that is used here, which BLAKE3 has, too."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Adds data."""

    def hexdigest(self) -> str:
        """Returns the digest of all data added so far."""


def new_hasher(algorithm: str) -> Hasher:
    """Returns a hasher for a :class:`~sleaprtc.protocol.vocabulary.DigestAlgorithm`."""
    if algorithm == DigestAlgorithm.BLAKE3:
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
    """Hashes the next part of a file and returns its size in bytes, 0 at the end.

    Raises:
        StorageError: The file can't be read.
    """
    hashed_bytes = 0
    block = memoryview(bytearray(MIB))  # reused: allocating a new one costs as much as hashing it with BLAKE3
    with _storage_errors(name, "read"):
        while hashed_bytes < HASH_STEP_BYTES and (byte_count := file.readinto(block)):  # type: ignore[attr-defined]
            hasher.update(block[:byte_count])
            hashed_bytes += byte_count
    return hashed_bytes


def hash_file(path: Path, algorithm: str) -> str:
    """Returns the digest of a whole file, in hexadecimal.

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
    """A file being sent, which must not change in the meantime.

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
        """Compares the size and the modification time with those at the beginning.

        Raises:
            TransferAbortedError: They differ.
            StorageError: They can't be read.
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
    """A file being received: hidden, named after its digest, and renamed once it's complete.

    Attributes:
        path: Its final path.
        written_bytes: How much of it is on disk.
        file: Open for reading and writing, positioned after the bytes that have been hashed.
    """

    def __init__(self, directory: Path, name: str, size_bytes: int, digest: tuple[str, str]) -> None:
        """Opens what an earlier attempt left, or a new file.

        Raises:
            StorageError: The folder can't be written, or is receiving the same content already.
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
        """Hashes the next part of what an earlier attempt left; returns its size in bytes, 0 at the end.

        Raises:
            StorageError: It can't be read.
        """
        step_bytes = hash_step(self.file, self._hasher, self.path.name)
        self.written_bytes += step_bytes
        return step_bytes

    def check_space(self) -> None:
        """Checks whether the rest fits on the disk, with :data:`DISK_RESERVE_BYTES` to spare.

        Raises:
            DiskFullError: It doesn't.
            StorageError: The free space can't be determined.
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
        """Appends chunks; returns how many bytes were written.

        Raises:
            StorageError: The disk is full or fails.
        """
        written_bytes = 0
        with _storage_errors(self.path.name, "written"):
            for chunk in chunks:  # not joined, which would copy everything
                self._write_chunk(chunk)
                written_bytes += len(chunk)
            self._unsynced_bytes += written_bytes
            if self._unsynced_bytes >= SYNC_BYTES:
                self._sync()
        self.written_bytes += written_bytes
        return written_bytes

    def _write_chunk(self, chunk: bytes) -> None:
        taken_bytes = self.file.write(chunk) or 0
        while taken_bytes < len(chunk):  # a raw write may write less than it's given
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
        """Discards what an earlier attempt left, and starts with an empty file.

        Raises:
            StorageError: The file can't be written.
        """
        with _storage_errors(self.path.name, "written"):
            self.file.truncate(0)
            self.file.seek(0)
        self._hasher = new_hasher(self._algorithm)
        self.written_bytes = 0

    def commit(self) -> None:
        """Moves the file to its final path durably: syncs its content, renames it, syncs the folder.

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
        """Appends ``chunks`` and keeps the file for another attempt, unless it is empty.

        Does nothing after :meth:`commit`, :meth:`discard` or an earlier :meth:`keep`.
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
        """Removes the file. Does nothing after :meth:`commit`, :meth:`keep` or an earlier :meth:`discard`."""
        if not self.file.closed:  # otherwise another attempt may be using it by now
            with contextlib.suppress(OSError):
                self._partial_path.unlink()
            self.file.close()


def open_existing(path: Path, size_bytes: int) -> BinaryIO | None:
    """Opens the file at ``path`` if it may be the one on offer, that is, a regular file of the same size.

    Returns:
        The open file, or None if there is no such file or it can't be opened.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != size_bytes:
            return None
        return path.open("rb")
    except OSError:
        return None
