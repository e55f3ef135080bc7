"""SQLite files that last for years: each has a version, and steps that bring an older one up to today's.

The version is SQLite's own ``user_version``, a number in the file's header
(https://www.sqlite.org/pragma.html#pragma_user_version). To change a layout, append a step to its
:class:`Layout`; a released step never changes. All steps that a file needs happen in one transaction: it gets
all of them or stays as it was. A file of a newer version isn't written to at all.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from ..errors import NewerStateError, StorageError
from .sentences import as_clause

PRIVATE_FILE_MODE: Final = 0o600

Step: TypeAlias = tuple[str, ...]
"""The statements that bring a file from one version to the next. Foreign keys aren't enforced meanwhile."""


@attrs.frozen
class Layout:
    """What a kind of database looks like, and how it came to look so.

    Attributes:
        name: What the database is, for sentences, such as "journal".
        option: The option that chooses another folder, for the sentence about a newer file.
        steps: The first one makes version 1 from an empty file. It also accepts a file that has the tables
            already: release 0.1.0 stamped the version after it had made them, and could be killed between.
    """

    name: str
    option: str
    steps: tuple[Step, ...]

    @property
    def version(self) -> int:
        """Today's version of the layout."""
        return len(self.steps)


def open_database(path: Path, layout: Layout, busy_timeout_sec: float) -> sqlite3.Connection:
    """Opens a database, creates it if it doesn't exist, and brings an older one up to today's layout.

    Args:
        path: The file. Only its owner can read it afterwards.
        layout: What it should look like.
        busy_timeout_sec: How long to wait while another process, such as a backup, has the file locked.

    Returns:
        A connection that any thread may use, one at a time. Each statement is its own transaction unless the
        caller begins one, foreign keys are enforced, and what is deleted is overwritten.

    Raises:
        NewerStateError: A newer version of sleap-rtc wrote the file. It is unchanged.
        StorageError: The file can't be used or upgraded, and holds what it held before.
    """
    path = path.resolve()  # what SQLite puts beside a file, it puts beside the link's target
    try:
        if path.exists():
            _refuse_newer(_version_at_rest(path), path, layout)
        # SQLite gives the files beside it, such as its log, the main file's mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE_MODE))
        path.chmod(PRIVATE_FILE_MODE)
        connection = sqlite3.connect(
            path, timeout=busy_timeout_sec, check_same_thread=False, isolation_level=None
        )
        try:
            _bring_up(connection, path, layout)
            # Changes survive a killed process; only a power cut can lose the last ones.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The {layout.name} {path} can't be used: {as_clause(error)}.") from error
    return connection


def _version_at_rest(path: Path) -> int:
    """Reads a file's version. Neither the file nor a log that a killed process left beside it is changed."""
    log = path.with_name(f"{path.name}-wal")
    # Without `immutable`, even a reader creates a log; with it, a reader ignores one that is there.
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
        return _version_of(connection)


def _version_of(connection: sqlite3.Connection) -> int:
    """Returns the version that a file was upgraded to.

    A worker of release 0.1.0 opens any journal, and stamps it with version 1. The second stamp survives that.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (second,) = connection.execute("PRAGMA application_id").fetchone()
    return max(int(version), int(second))


def _stamp(connection: sqlite3.Connection, version: int) -> None:
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute(f"PRAGMA application_id = {version}")


def _refuse_newer(version: int, path: Path, layout: Layout) -> None:
    if not 0 <= version <= layout.version:
        raise NewerStateError(
            f"A newer version of sleap-rtc wrote the {layout.name} {path} (version {version}, and this one "
            f"reads up to {layout.version}): update sleap-rtc, or choose another folder with {layout.option}."
        )


def _bring_up(connection: sqlite3.Connection, path: Path, layout: Layout) -> None:
    """Takes the steps that a file lacks: all or none."""
    if _version_of(connection) == layout.version:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again: until now, another process could have upgraded it.
        version = _version_of(connection)
        _refuse_newer(version, path, layout)
        for step in layout.steps[version:]:
            for statement in step:
                connection.execute(statement)
        _stamp(connection, layout.version)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some failures, such as a full disk, have rolled it back already
            connection.execute("ROLLBACK")
        raise
