"""What this person's clients know of their jobs: one file a job, with the key to attach to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs

from ..errors import UsageError
from ..private_files import state_dir, write_private_json
from ..rtc.secret import RoomSecret
from ..signaling.http import Endpoints, Room

RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
LOST: Final = "lost"

SECRET_FIELDS: Final = ("attach_key", "token", "secret")


@attrs.frozen
class JobRecord:
    """A job that was assigned to a worker.

    Attributes:
        attach_key: Whoever has it may take the job over.
        state: ``running``, ``completed``, ``failed``, ``cancelled`` or ``lost``, as last seen.
        last_seq: Of the last status that was seen.
        started_at: Unix epoch seconds.
        message: How it ended, in a sentence.
        secret: The room's, as an invite has it; None where it has none.
        digest_algorithm: What the files were announced by: what came of them goes by it.
        job_type: ``training`` or ``inference``.
        models: The model folders that an inference predicts with, in the order in which they were given.
        out_file: Where an inference's predictions go; models go into ``out_dir``.
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


def records_dir() -> Path:
    """Where the records are."""
    return state_dir() / "jobs"


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


def find(job: str) -> JobRecord:
    """Finds a record by its job's id, or by how that begins.

    Raises:
        UsageError: There is none, or more than one.
    """
    found = [record for record in load_all() if record.job_id.startswith(job)]
    if not found:
        raise UsageError(f"No job {job!r} is known here; `sleap-rtc client jobs` lists those that are.")
    if len(found) > 1:
        raise UsageError(f"{job!r} fits {len(found)} jobs; write more of the id.")
    return found[0]


def public_fields(record: JobRecord) -> dict[str, Any]:
    """What may be shown of a record: all but its secrets."""
    return attrs.asdict(record, filter=lambda field, _: field.name not in SECRET_FIELDS)


def _load(path: Path) -> JobRecord | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {
            field.name: content[field.name] for field in attrs.fields(JobRecord) if field.name in content
        }
        lists = {name: tuple(known.get(name, ())) for name in ("configs", "models")}
        return JobRecord(**{**known, **lists})
    except (OSError, ValueError, TypeError, KeyError):
        return None
