"""Any JSON, with and without the protocol's words, for whoever takes messages."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar, get_args

import hypothesis
from hypothesis import strategies as st

from sleaprtc.protocol import jobs, messages
from sleaprtc.protocol.codec import encode_job_message

T = TypeVar("T")

KEY = "k"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
OWN_JOB = "own-job"
KNOWN_JOB = "known-job"
"""Stands for the job that is there, whose id is known only later."""

STRINGS = [
    *(KEY, DIGEST, OWN_JOB, "training", "inference", "base", "running", "slp", "UNKNOWN_JOB"),
    *("", "\0", "a\0b", "\ud800", "\udfff\ud83d", "😀", "x" * 129, "y" * 20_000),
    *("../../x", "$(touch X)", "\x1b[2J", "2.0", "nan", "-1", "0-99"),
]
NUMBERS = [0, 1, -1, 0.5, -0.0, 25.0, 5e-324, -1e308, 1e308, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400]
DEEP: Any = []
for _ in range(40):
    DEEP = [DEEP]

texts = st.sampled_from(STRINGS) | st.text(st.characters(exclude_categories=()), max_size=5)
numbers = st.sampled_from(NUMBERS) | st.integers() | st.floats()
scalars = st.none() | st.booleans() | numbers | texts
FIELDS = sorted({field.name for cls in get_args(jobs.JobMessage) for field in cls.__attrs_attrs__})
values = st.recursive(
    scalars | st.just(DEEP),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | texts, inner, max_size=4)
    ),
    max_leaves=8,
)
JOB_TYPES = [cls.app_message_type for cls in get_args(jobs.JobMessage)]


def well_typed(job_ids: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Job messages of every type, with fields of the right types and numbers of all sizes."""
    settings = st.sampled_from(["model_type", "epochs", "batch_size", "models"]) | texts
    config = st.dictionaries(settings, values, max_size=4)
    dataset = st.builds(jobs.DatasetInfo, texts, st.integers(0, 10**6), texts, numbers, numbers)
    kinds: list[st.SearchStrategy[Any]] = [
        st.builds(
            jobs.JobRequest,
            job_ids,
            st.sampled_from(["training", "inference"]) | texts,
            dataset,
            config,
            st.builds(jobs.Requirements, numbers, numbers, st.none() | texts),
            attach_digest=st.none() | st.just(DIGEST) | texts,
            ephemeral=st.booleans(),
        ),
        st.builds(jobs.JobAssignment, job_ids),
        st.builds(jobs.JobCancel, job_ids, st.none() | texts, attach_key=st.none() | texts),
        st.builds(jobs.JobStop, job_ids, attach_key=st.none() | texts),
        st.builds(jobs.JobAttach, job_ids, texts, numbers, st.booleans()),
        st.builds(jobs.JobLogRequest, job_ids, texts, numbers, st.none() | numbers),
        st.builds(jobs.JobPurge, job_ids, texts),
        st.builds(jobs.ConnectionCheck, job_ids),
        st.builds(jobs.AppError, texts, texts, job_id=st.none() | job_ids),
        st.builds(jobs.JobResponse, job_ids, accepted=st.booleans(), reason=st.none() | texts),
        st.builds(
            jobs.JobStatus, job_ids, texts, numbers, message=st.none() | texts, seq=st.none() | numbers
        ),
        st.builds(jobs.WorkerHeartbeat, numbers, texts, numbers, numbers, job_ids),
        st.builds(jobs.JobFailed, job_ids, st.builds(jobs.JobError, texts, texts, st.booleans())),
        st.builds(jobs.JobComplete, job_ids),
        st.builds(jobs.JobCancelled, job_ids),
    ]
    keyed = kinds[2:7]
    return st.sampled_from(kinds + keyed).flatmap(lambda kind: kind).map(encode_job_message)


@st.composite
def job_payloads(draw: st.DrawFn) -> Any:
    """Payloads about a job that is there, about jobs that may be, and about nothing."""
    job_ids = st.sampled_from([*[KNOWN_JOB, OWN_JOB] * 3, "\ud800", "\0", "", "../../x", "x" * 129])
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(values)
    payload: dict[str, Any] = draw(well_typed(job_ids))
    if kind < 5:
        return payload
    if kind < 9:
        fields = draw(st.lists(st.sampled_from(sorted(payload)), max_size=3))
        return {**payload, **{field: draw(values) for field in fields}}
    words = st.sampled_from(JOB_TYPES) | texts
    rest = draw(st.dictionaries(st.sampled_from(FIELDS) | texts, values, max_size=5))
    return {**rest, "app_message_type": draw(words), "job_id": draw(job_ids | values)}


def frames(sender: str, target: str) -> st.SearchStrategy[str]:
    """What a registered peer may put on its WebSocket, as text: raw escapes and NaN included."""
    signals = st.fixed_dictionaries(
        {"type": st.sampled_from(["offer", "answer", "candidate"])},
        optional={"sdp": texts, "candidate": texts, "sdpMid": values, "sdpMLineIndex": values},
    )
    requests = st.fixed_dictionaries(
        {"type": st.sampled_from(["register", "discover_peers", "update_metadata"]) | texts},
        optional={
            "filters": values,
            "metadata": st.fixed_dictionaries({}, optional={"tags": values, "properties": values}) | values,
            **dict.fromkeys(("room_id", "token", "id_token", "role", "resume_token"), values),
        },
    )
    own = {
        "from_peer_id": sender,
        "to_peer_id": target,
        "sender": sender,
        "target": target,
        "peer_id": sender,
    }
    routed = job_payloads().map(lambda payload: {"type": "peer_message", "payload": payload})
    kinds = [*[routed] * 7, signals, requests]
    named = st.sampled_from(kinds).flatmap(lambda kind: kind).map(lambda message: {**own, **message})
    anything = values.map(json.dumps) | st.text(max_size=20)
    return st.integers(0, 9).flatmap(lambda number: named.map(json.dumps) if number else anything)


def examples_of(strategy: st.SearchStrategy[T], count: int) -> list[list[T]]:
    """Draws examples, to be tried ten at a time on something that lives in a Trio run.

    They are always the same ``count``; with the profile for fresh examples, others, and as many as it has.
    """
    examples: list[T] = []
    profile = hypothesis.settings.default
    assert profile is not None

    @hypothesis.settings(
        max_examples=count if profile.derandomize else profile.max_examples,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def draw(example: T) -> None:
        examples.append(example)

    draw()
    return [examples[start : start + 10] for start in range(0, len(examples), 10)]


SIGNALING_TYPES = [cls.type for cls in get_args(messages.ServerMessage)]
