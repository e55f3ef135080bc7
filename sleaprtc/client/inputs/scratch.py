"""Temporary files of one order, removed when it is done."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from ...base.sentences import as_clause
from ...errors import StorageError


class Scratch(AbstractContextManager["Scratch"]):
    """A folder that is made at its first use; leaving the block removes it.

    Args:
        inside: Another one, in which this is a folder of the name ``name``, and with which it is removed.
        name: See there.
    """

    def __init__(self, inside: Scratch | None = None, name: str = "inside") -> None:
        self._directory: TemporaryDirectory[str] | None = None
        self._inside = inside
        self._name = name

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            StorageError: There's no room for temporary files.
        """
        if self._inside is not None:
            folder = self._inside.path / self._name
            folder.mkdir(exist_ok=True)
            return folder
        if self._directory is None:
            try:
                self._directory = TemporaryDirectory(prefix="sleap-rtc-")
            except OSError as error:
                raise StorageError(f"No temporary folder can be made: {as_clause(error)}.") from error
        return Path(self._directory.name)

    def remove(self) -> None:
        """Removes the folder, if there is one."""
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def __exit__(self, *_: object) -> None:
        self.remove()
