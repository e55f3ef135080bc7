"""What this person's clients know of their jobs: one file for each job, with the key to attach to it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final

import attrs

from ...access.place import ConnectionOptions
from ...base.private_files import private_state_dir, write_private_json
from ...errors import StorageError, UsageError
from ...jobs import life
from ...jobs.life import Seen, Sign
from ...protocol.messages import IceServer
from ...protocol.vocabulary import JobType
from ...rtc.secret import RoomSecret
from ...signaling.http import Endpoints, Room
from .job_ids import short_id

SECRET_FIELDS: Final = ("attach_key", "token", "secret", "connection")

KEPT_SEC: Final = 30 * 86_400.0
"""How long a job that is over is remembered. By default, workers keep results for a week."""

UNFINISHED_KEPT_SEC: Final = 180 * 86_400.0
"""How long a job that isn't over is remembered after its last sign of life; no worker still has it."""


_KINDS: Final[dict[object, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "tuple[str, ...]": (list,),
    "dict[str, Any]": (dict,),
    "dict[str, Any] | None": (dict, type(None)),
}
"""What a field of a record can be in a file, by its annotation."""


@attrs.frozen
class JobRecord:
    """A job that was assigned to a worker.

    A file's keys that aren't named here are a newer version's: they are ignored, and kept when it is written.

    Attributes:
        attach_key: Lets its holder take the job over.
        state: A :class:`~sleaprtc.jobs.life.Seen`, as last seen, or a newer version's.
        last_seq: The sequence number of the last status that was seen.
        last_status: The last status, as ``--json`` shows it.
        last_seen_at: When the last status was seen, in Unix epoch seconds.
        started_at: When the job was assigned, in Unix epoch seconds.
        ended_at: When the job was seen to be over or lost, in Unix epoch seconds.
        purged_at: When its worker confirmed that it has nothing of the job any more, in Unix epoch seconds.
        results: The paths of the result.
        connection: How data channels were made, see :meth:`connection_options`.
        message: How the job ended, in a sentence.
        secret: The room's secret, as in an invite; None if the room has none.
        digest_algorithm: The digest by which the files were announced, and partly sent files are continued.
        job_type: ``training`` or ``inference``.
        models: The model folders that an inference predicts with, in the order in which they were given.
        out_file: The file for an inference's predictions; models go into ``out_dir``.
        replace: Whether ``out_file`` may replace an existing file.
        validation: The labels that a training is validated on, if they are a file of their own.
        ca_file: A file of certificates that vouch for the server, if the system's don't.
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
    state: str = Seen.RUNNING
    last_seq: int = 0
    message: str = ""
    secret: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    digest_algorithm: str = "sha256"
    job_type: str = JobType.TRAINING
    validation: str | None = None
    models: tuple[str, ...] = ()
    out_file: str | None = None
    replace: bool = False
    last_status: dict[str, Any] | None = None
    last_seen_at: float | None = None
    ended_at: float | None = None
    purged_at: float | None = None
    results: tuple[str, ...] = ()
    connection: dict[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether the client expects nothing more of the worker."""
        return self.state in life.OVER

    def after(self, sign: Sign) -> JobRecord:
        """Returns the record after one more sign of the job; unchanged if the sign changes nothing."""
        following = life.seen_after(self.state, sign)
        return self if following is None else attrs.evolve(self, state=str(following))

    @property
    def result_paths(self) -> tuple[str, ...]:
        """The paths of the result. One that was recorded without its folder is in the job's."""
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
        """Returns how to connect: as given now, or else as when the job began, which is known to work here.

        Raises:
            UsageError: The record was changed.
        """
        known = self.connection
        try:
            servers = tuple(IceServer(tuple(urls), *access) for urls, *access in known.get("ice_servers", ()))
        except (TypeError, ValueError):
            raise UsageError(f"Job {short_id(self.job_id)} was recorded by another version.") from None
        return ConnectionOptions(
            ice_loopback=given.ice_loopback or bool(known.get("ice_loopback")),
            ice_servers=given.ice_servers or servers,
            private_ice_servers=given.private_ice_servers and known.get("private_ice_servers") is not False,
            engine=given.engine if given.engine != "auto" else str(known.get("engine", "auto")),
            secret=self.room_secret,
            limit=given.limit,
        )


_FIELDS: Final = attrs.fields(JobRecord)


def connection_fields(options: ConnectionOptions) -> dict[str, Any]:
    """Returns what a record keeps of a job's connection. The room's secret has a field of its own."""
    servers = [[list(server.urls), server.username, server.credential] for server in options.ice_servers]
    return {
        "ice_loopback": options.ice_loopback,
        "ice_servers": servers,
        "private_ice_servers": options.private_ice_servers,
        "engine": options.engine,
    }


def records_dir() -> Path:
    """Returns the records' folder.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    return private_state_dir() / "jobs"


def limit_path(job_id: str) -> Path:
    """Returns the file by which the limit of a job that is followed is changed, see :mod:`.limits`.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    return records_dir() / f"{job_id}.limit"


def followed_path(job_id: str) -> Path:
    """Returns the file that a process holds while it follows a job.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    return records_dir() / f"{job_id}.followed"


def save(record: JobRecord) -> None:
    """Writes a record atomically, readable by its owner only.

    Raises:
        StorageError: The folder can't be written.
    """
    path = records_dir() / f"{record.job_id}.json"
    try:
        unknown = _content(path)
    except (OSError, ValueError, TypeError):
        unknown = {}
    write_private_json(path, {**unknown, **attrs.asdict(record)})


def load_all() -> list[JobRecord]:
    """Returns all records, the newest first. Files that can't be read are skipped."""
    records = [record for path in records_dir().glob("*.json") if (record := _load(path)) is not None]
    return sorted(records, key=lambda record: -record.started_at)


def amend(record: JobRecord, sign: Sign, **changes: Any) -> JobRecord:
    """Changes a record as it is on disk by now. One that is over, or was forgotten, stays as it is.

    The process that follows the job writes the record too, and what it has seen of the end counts. A folder
    that can't be written costs nothing: the worker can be asked again.

    Args:
        record: The job's record, as it was read before.
        sign: What was seen of the job.
        changes: Other fields.

    Returns:
        The record as it is then.
    """
    current = _load(records_dir() / f"{record.job_id}.json")
    if current is None or current.is_over:
        return current or record
    changed = attrs.evolve(current.after(sign), **changes)
    with contextlib.suppress(StorageError):
        save(changed)
    return changed


def note_purged(record: JobRecord, now: float) -> None:
    """Records that the job's worker has nothing of it any more, so that nothing is left to expect.

    Raises:
        StorageError: The folder can't be written.
    """
    current = reread(record)
    if not current.is_over:
        message = "It was purged, and no result had been fetched."
        current = attrs.evolve(current.after(Sign.CANCELLATION), ended_at=now, message=message)
    save(attrs.evolve(current, purged_at=now))


def reread(record: JobRecord) -> JobRecord:
    """Returns a record as it is on disk by now, or as it was given if it isn't there."""
    return _load(records_dir() / f"{record.job_id}.json") or record


def forget(record: JobRecord) -> None:
    """Deletes a record, and with it the key to its job."""
    paths = (records_dir() / f"{record.job_id}.json", limit_path(record.job_id), followed_path(record.job_id))
    for path in paths:
        path.unlink(missing_ok=True)


def forget_old(now: float) -> None:
    """Deletes records of jobs that ended 30 days before ``now``, or were last heard of half a year before."""
    for record in load_all():
        kept_sec = KEPT_SEC if record.is_over else UNFINISHED_KEPT_SEC
        if now - (record.ended_at or record.last_seen_at or record.started_at) > kept_sec:
            forget(record)


def find(job: str) -> JobRecord:
    """Finds a record by its job's id, or by the beginning of the id.

    Raises:
        UsageError: No record fits, or more than one does.
    """
    if not job:  # which is how every id begins, and an unset variable in a script
        raise UsageError("No job is named.")
    found = [record for record in load_all() if record.job_id.startswith(job)]
    if not found:
        raise UsageError(f"No job {job!r} is known here; `sleap-rtc client jobs` lists those that are.")
    if len(found) > 1:
        raise UsageError(f"{job!r} fits {len(found)} jobs; give more of the id.")
    return found[0]


def refuse_if_over(record: JobRecord) -> None:
    """Raises if the job is over, so that there is nothing left to end.

    Raises:
        UsageError: The job is over.
    """
    if record.is_over:
        where = f", and its result is in {record.out_dir}" if record.state == Seen.COMPLETED else ""
        raise UsageError(f"Job {short_id(record.job_id)} is over: it is {record.state}{where}.")


def public_fields(record: JobRecord) -> dict[str, Any]:
    """Returns the fields of a record without its secrets."""
    return attrs.asdict(record, filter=lambda field, _: field.name not in SECRET_FIELDS)


def _load(path: Path) -> JobRecord | None:
    try:
        content = _content(path)
        present = [field for field in _FIELDS if field.name in content]
        if not all(isinstance(content[field.name], _KINDS[field.type]) for field in present):
            return None  # a newer version means something else by it
        known = {field.name: content[field.name] for field in present}
        lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        record = JobRecord(**{"configs": (), **known, **lists})
        return attrs.evolve(record, room_id=record.room.room_id)  # raises where it can't be a room's
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _content(path: Path) -> dict[str, Any]:
    # Not as documents from outside are: a path of this machine may have bytes that are no text (PEP 383).
    return dict(json.loads(path.read_text(encoding="utf-8")))
