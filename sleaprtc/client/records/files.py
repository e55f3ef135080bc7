"""What this person's clients know of their jobs: one file a job, with the key to attach to it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final

import attrs

from ...access.place import ConnectionOptions
from ...base.private_files import private_state_dir, write_private_json
from ...errors import StorageError, UsageError
from ...protocol.messages import IceServer
from ...rtc.secret import RoomSecret
from ...signaling.http import Endpoints, Room

RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
LOST: Final = "lost"

OVER: Final = frozenset({COMPLETED, FAILED, CANCELLED})
"""States after which nothing more is expected of the worker."""

SECRET_FIELDS: Final = ("attach_key", "token", "secret", "connection")

KEPT_SEC: Final = 30 * 86_400.0
"""How long a job that is over is remembered. Workers keep models for a week, unless told otherwise."""

UNFINISHED_KEPT_SEC: Final = 180 * 86_400.0
"""The same for a job of which nothing more was heard: no worker still has it."""


@attrs.frozen
class JobRecord:
    """A job that was assigned to a worker.

    Attributes:
        attach_key: Whoever has it may take the job over.
        state: ``running``, ``completed``, ``failed``, ``cancelled`` or ``lost``, as last seen.
        last_seq: Of the last status that was seen.
        last_status: That status, as ``--json`` shows it.
        last_seen_at: When it was seen, in Unix epoch seconds.
        started_at: Unix epoch seconds.
        ended_at: When it was seen to be over, likewise.
        results: Where what came back lies.
        connection: How data channels were made, see :meth:`connection_options`.
        message: How it ended, in a sentence.
        secret: The room's, as an invite has it; None where it has none.
        digest_algorithm: What the files were announced by: what came of them goes by it.
        job_type: ``training`` or ``inference``.
        models: The model folders that an inference predicts with, in the order in which they were given.
        out_file: Where an inference's predictions go; models go into ``out_dir``.
        replace: Whether ``out_file`` may take the place of a file that exists already.
        ca_file: Whose certificates vouch for the server, where those aren't the system's.
    """

    job_id: str
    attach_key: str = attrs.field(repr=False)
    worker: str
    ws_url: str
    http_url: str
    room_id: str
    token: str = attrs.field(repr=False)
    dataset: str
    configs: tuple[str, ...]
    out_dir: str
    started_at: float
    state: str = RUNNING
    last_seq: int = 0
    message: str = ""
    secret: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    digest_algorithm: str = "sha256"
    job_type: str = "training"
    models: tuple[str, ...] = ()
    out_file: str | None = None
    replace: bool = False
    last_status: dict[str, Any] | None = None
    last_seen_at: float | None = None
    ended_at: float | None = None
    results: tuple[str, ...] = ()
    connection: dict[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected of the worker."""
        return self.state in OVER

    @property
    def result_paths(self) -> tuple[str, ...]:
        """Where what came back lies; what was noted down without its folder is in that of the job."""
        return tuple(
            path if Path(path).is_absolute() else str(Path(self.out_dir) / Path(path).name)
            for path in self.results
        )

    @property
    def endpoints(self) -> Endpoints:
        """The signaling server of the job's room."""
        return Endpoints(self.ws_url, self.http_url, self.ca_file)

    @property
    def room_secret(self) -> RoomSecret | None:
        """The secret of the job's room, if it has one.

        Raises:
            UsageError: The record was changed.
        """
        return None if self.secret is None else RoomSecret.parse(self.secret)

    @property
    def room(self) -> Room:
        """The job's room."""
        return Room(self.room_id, self.token)

    def connection_options(self, given: ConnectionOptions) -> ConnectionOptions:
        """How to connect: as was given now, else as the job was begun, which is known to work here.

        Raises:
            UsageError: The record was changed.
        """
        known = self.connection
        servers = (IceServer(tuple(urls), *access) for urls, *access in known.get("ice_servers", ()))
        return ConnectionOptions(
            ice_loopback=given.ice_loopback or bool(known.get("ice_loopback")),
            ice_servers=given.ice_servers or tuple(servers),
            private_ice_servers=given.private_ice_servers and known.get("private_ice_servers") is not False,
            engine=given.engine if given.engine != "auto" else str(known.get("engine", "auto")),
            secret=self.room_secret,
        )


def connection_fields(options: ConnectionOptions) -> dict[str, Any]:
    """What a record keeps of how a job was connected to; the room's secret has a field of its own."""
    servers = [[list(server.urls), server.username, server.credential] for server in options.ice_servers]
    return {
        "ice_loopback": options.ice_loopback,
        "ice_servers": servers,
        "private_ice_servers": options.private_ice_servers,
        "engine": options.engine,
    }


def records_dir() -> Path:
    """Where the records are.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    return private_state_dir() / "jobs"


def save(record: JobRecord) -> None:
    """Writes a record, whole or not at all, readable by its owner only.

    Raises:
        StorageError: The folder can't be written.
    """
    write_private_json(records_dir() / f"{record.job_id}.json", attrs.asdict(record))


def load_all() -> list[JobRecord]:
    """Lists all records, the newest first; files that can't be read are passed over."""
    records = [record for path in records_dir().glob("*.json") if (record := _load(path)) is not None]
    return sorted(records, key=lambda record: -record.started_at)


def amend(record: JobRecord, **changes: Any) -> JobRecord:
    """Changes a record on disk as it is there by now; one that is over, or was forgotten, stays as it is.

    The process that follows a job writes its record too: what that knows of the end counts.
    Where the folder can't be written, the worker still knows better.

    Returns:
        The record as it is then.
    """
    current = _load(records_dir() / f"{record.job_id}.json")
    if current is None or current.is_over:
        return current or record
    changed = attrs.evolve(current, **changes)
    with contextlib.suppress(StorageError):
        save(changed)
    return changed


def reread(record: JobRecord) -> JobRecord:
    """A record as it is on disk by now; as it is given, where it isn't there."""
    return _load(records_dir() / f"{record.job_id}.json") or record


def forget(record: JobRecord) -> None:
    """Deletes a record, and with it the key to its job."""
    (records_dir() / f"{record.job_id}.json").unlink(missing_ok=True)


def forget_old(now: float) -> None:
    """Deletes the records of jobs that were over 30 days before ``now``, or not heard of for half a year."""
    for record in load_all():
        kept_sec = KEPT_SEC if record.is_over else UNFINISHED_KEPT_SEC
        if now - (record.ended_at or record.last_seen_at or record.started_at) > kept_sec:
            forget(record)


def find(job: str) -> JobRecord:
    """Finds a record by its job's id, or by how that begins.

    Raises:
        UsageError: There is none, or more than one.
    """
    if not job:  # which is how every id begins, and an unset variable in a script
        raise UsageError("No job is named.")
    found = [record for record in load_all() if record.job_id.startswith(job)]
    if not found:
        raise UsageError(f"No job {job!r} is known here; `sleap-rtc client jobs` lists those that are.")
    if len(found) > 1:
        raise UsageError(f"{job!r} fits {len(found)} jobs; write more of the id.")
    return found[0]


def refuse_if_over(record: JobRecord) -> None:
    """Raises where there is nothing left to end.

    Raises:
        UsageError: The job is known to be over.
    """
    if record.is_over:
        where = f", and its result is in {record.out_dir}" if record.state == COMPLETED else ""
        raise UsageError(f"Job {record.job_id[:8]} is over: it is {record.state}{where}.")


def public_fields(record: JobRecord) -> dict[str, Any]:
    """What may be shown of a record: all but its secrets."""
    return attrs.asdict(record, filter=lambda field, _: field.name not in SECRET_FIELDS)


def _load(path: Path) -> JobRecord | None:
    try:
        # Not as documents from outside are: a path of this machine may have bytes that are no text (PEP 383).
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {
            field.name: content[field.name] for field in attrs.fields(JobRecord) if field.name in content
        }
        lists = {name: tuple(known.get(name, ())) for name in ("configs", "models", "results")}
        record = JobRecord(**{**known, **lists})
        return attrs.evolve(record, room_id=record.room.room_id)  # raises where it can't be a room's
    except (OSError, ValueError, TypeError, KeyError):
        return None
