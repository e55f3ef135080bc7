"""Numbers in job messages are possible in their unit, or the message is refused; reports lose them alone."""

from __future__ import annotations

import math
from typing import Any, get_args, get_type_hints

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc.errors import InvalidMessageError
from sleaprtc.protocol import jobs
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.units import is_unit, ranges_of

MESSAGES = get_args(jobs.JobMessage)
PARTS = {jobs.DatasetInfo: "dataset_info", jobs.Requirements: "requirements"}
UNITS_FIELDS = [
    (cls, name)
    for cls in (*MESSAGES, *PARTS, jobs.WorkerInfo, jobs.StatusDetails, jobs.JobResult)
    for name in ranges_of(cls)
]
PLACES = {
    **{cls: (jobs.JobRequest, part) for cls, part in PARTS.items()},
    jobs.WorkerInfo: (jobs.JobResponse, "worker_info"),
    jobs.StatusDetails: (jobs.JobStatus, "details"),
    jobs.JobResult: (jobs.JobComplete, "result"),
}
OF_NO_UNIT = {"progress", "final_loss", "current_loss", "val_loss", "after_seq", "log_offset_bytes"}
"""A share that is clamped where it is used, losses, which can be any number, and places to begin at."""

REQUIRED: dict[str, Any] = {
    "job_id": "job",
    "job_type": "training",
    "accepted": True,
    "status": "running",
    "attach_key": "key",
    "state": "training",
    "timestamp": 0,
}
IMPOSSIBLE = (-2, -0.5, -1e308, 1e308, 2**62, 5e-324)

numbers = st.floats() | st.integers(-(2**63), 2**63)


def message_with(cls: type[Any], name: str, number: object) -> dict[str, Any]:
    message, part = PLACES.get(cls, (cls, None))
    payload = {
        field.name: REQUIRED[field.name] for field in attrs.fields(message) if field.default is attrs.NOTHING
    }
    (payload.setdefault(part, {}) if part else payload)[name] = number
    return {"app_message_type": message.app_message_type, **payload}


def decoded(cls: type[Any], name: str, number: object) -> Any:
    part = PLACES.get(cls, (cls, None))[1]
    message: Any = decode_job_message(message_with(cls, name, number))
    return getattr(getattr(message, part) if part else message, name)


def default_of(cls: type[Any], name: str) -> Any:
    return getattr(attrs.fields(cls), name).default


def test_every_number_has_a_unit() -> None:
    for cls in (*MESSAGES, *{cls for cls, _ in UNITS_FIELDS}):
        for name, kind in get_type_hints(cls, include_extras=True).items():
            kinds = {kind, *get_args(kind)} if not is_unit(kind) else set()
            if kinds & {int, float}:
                assert name in OF_NO_UNIT or (cls, name) == (jobs.WorkerHeartbeat, "timestamp"), (cls, name)


@pytest.mark.parametrize(("cls", "name"), UNITS_FIELDS)
@given(number=numbers)
@example(number=-1)
@example(number=5e-324)
@example(number=math.nan)
@example(number=0)
def test_a_number_is_possible_or_isn_t_there(cls: type[Any], name: str, number: float) -> None:
    allowed = ranges_of(cls)[name]
    try:
        found, fault = decoded(cls, name, number), None
    except InvalidMessageError as error:
        found, fault = None, str(error)
    if fault is None:
        assert found == (number if number in allowed else default_of(cls, name))
    else:
        assert name in fault
        assert number not in allowed or number != int(number)


@pytest.mark.parametrize(("cls", "name"), UNITS_FIELDS)
def test_only_reports_lose_a_number_silently(cls: type[Any], name: str) -> None:
    allowed = ranges_of(cls)[name]
    for number in IMPOSSIBLE:
        if number in allowed:
            continue
        if cls in jobs.REPORTS:
            assert decoded(cls, name, number) == default_of(cls, name)
        else:
            with pytest.raises(InvalidMessageError, match=name):
                decoded(cls, name, number)
    assert decoded(cls, name, -1) == decoded(cls, name, None) == default_of(cls, name)


@pytest.mark.parametrize(
    ("job_type", "config", "fault"),
    [
        ("training", {"epochs": 0}, "config.epochs must be 1 to 100,000"),
        ("training", {"epochs": 10**400}, "config.epochs"),
        ("training", {"batch_size": -1}, "config.batch_size must be 1 to 4,096"),
        ("training", {"learning_rate": 0.0}, "config.learning_rate must be 1e-30 to 1e+30"),
        ("inference", {"peak_threshold": 1.5}, "config.peak_threshold must be 0 to 1"),
        ("inference", {"epochs": 0, "learning_rate": -1}, None),
        ("training", {"epochs": None, "batch_size": "many", "peak_threshold": 7}, None),
        ("training", {"epochs": 100_000, "batch_size": 4096.0, "learning_rate": 1e30}, None),
        ("cooking", {"epochs": -5}, None),
    ],
)
def test_the_numbers_that_a_job_is_asked_with(
    job_type: str, config: dict[str, Any], fault: str | None
) -> None:
    payload = {"app_message_type": "job_request", "job_id": "job", "job_type": job_type, "config": config}
    if fault is None:
        assert decode_job_message(payload).config == config
    else:
        with pytest.raises(InvalidMessageError) as caught:
            decode_job_message(payload)
        assert fault in str(caught.value)
