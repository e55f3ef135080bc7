"""The protocol reference names everything that the code can say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from sleaprtc.client.jobs import attach
from sleaprtc.client.jobs.follower import exchange, follow, inquiry, last_words, watch, worker_channel
from sleaprtc.client.jobs.inquiries import ask
from sleaprtc.client.jobs.order import persistence
from sleaprtc.doctor import worker_check
from sleaprtc.protocol import jobs, limits, messages, transfer, vocabulary
from sleaprtc.protocol.close_codes import CloseCode
from sleaprtc.rtc import peer
from sleaprtc.rtc.engines import libwebrtc_engine, sdp
from sleaprtc.server import http
from sleaprtc.signaling import session
from sleaprtc.transfer import arrival, names, proven, sending
from sleaprtc.worker import agent
from sleaprtc.worker.jobs import inputs, job

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "protocol.md"
CLASSES: list[type[Any]] = [
    *get_args(messages.ClientMessage),
    *get_args(messages.ServerMessage),
    *get_args(jobs.JobMessage),
    *get_args(transfer.TransferFrame),
    *get_args(transfer.ProofFrame),
    messages.Metadata,
    messages.IceServer,
    messages.PeerInfo,
    jobs.DatasetInfo,
    jobs.Requirements,
    jobs.WorkerInfo,
    jobs.StatusDetails,
    jobs.JobResult,
    jobs.JobError,
]
CAMEL_CASE = {"sdp_mid": "sdpMid", "sdp_mline_index": "sdpMLineIndex"}


@pytest.fixture(scope="module")
def words() -> set[str]:
    text = REFERENCE.read_text()
    return set("".join(char if char.isalnum() or char in "_-$" else " " for char in text).split())


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_message_and_field_is_there(cls: type[Any], words: set[str]) -> None:
    kind = getattr(cls, "type", None) or getattr(cls, "app_message_type", None)
    names = {CAMEL_CASE.get(field.name, field.name) for field in attrs.fields(cls)}
    assert (names | {kind} if kind else names) <= words


@pytest.mark.parametrize(
    "kind",
    [
        vocabulary.DatasetFormat,
        vocabulary.DigestAlgorithm,
        vocabulary.ErrorCode,
        vocabulary.JobType,
        vocabulary.Phase,
        vocabulary.Purpose,
        vocabulary.Refusal,
        vocabulary.RoomEnd,
        vocabulary.WorkerStatus,
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_word_of_the_vocabulary_is_there(kind: type[StrEnum], words: set[str]) -> None:
    assert {str(word) for word in kind} <= words


def test_every_close_code_is_there(words: set[str]) -> None:
    assert {str(int(code)) for code in CloseCode} <= words


def test_the_limits_are_the_code_s() -> None:
    text = REFERENCE.read_text()
    assert f"most {limits.MAX_FRAME_BYTES // 1024} KiB" in text
    assert f"held for {limits.UNPROVEN_HOLD_SEC:g} seconds in any minute" in text
    assert f"{limits.UNPROVEN_CONNECT_SEC:g} seconds to prove the secret" in text
    assert f"{limits.CONNECT_SEC:g} seconds to connect" in text
    assert f"most {limits.MAX_SERVER_FRAME_BYTES // limits.MIB} MiB" in text
    assert f"most {limits.MAX_HTTP_BODY_BYTES // 1024} KiB" in text
    assert f"most {limits.MAX_JSON_DEPTH} levels" in text
    assert f"at most {limits.MAX_TAGS} tags, {limits.MAX_PROPERTIES}" in text
    assert f"at most {limits.MAX_NAME_CHARS} characters" in text
    assert f"at most {limits.MAX_UNACKNOWLEDGED_BYTES // limits.MIB} MiB unacknowledged" in text
    assert f"`token` {limits.ROOM_TOKEN_CHARS}" in text
    assert f"slot for {limits.RESERVATION_SEC:.0f} seconds" in text
    largest_gib = limits.MAX_RESULT_BYTES // (1024 * limits.MIB)
    assert f"at most {limits.MAX_RESULT_FILES} files and {largest_gib} GiB in all" in text
    assert f"within {limits.REGISTRATION_TIMEOUT_SEC:.0f} seconds of connecting" in text


DEADLINES = [
    ("the WebSocket handshake", limits.HANDSHAKE_TIMEOUT_SEC),
    ("`register`", limits.REGISTRATION_TIMEOUT_SEC),
    ("a frame of its own", limits.WRITE_TIMEOUT_SEC),
    ("the body of an HTTP request", http.BODY_TIMEOUT_SEC),
    ("`job_response`", limits.JOB_RESPONSE_TIMEOUT_SEC),
    ("`job_assignment`", limits.RESERVATION_SEC),
    ("an open data channel, at first", limits.CONNECT_SEC),
    ("an open data channel, after each", limits.RETURN_SEC),
    ("an open data channel, from its own", peer.CONNECT_TIMEOUT_SEC),
    ("the other's proof", proven.PROOF_TIMEOUT_SEC),
    ("the next file's `file_offer`", inputs.INPUT_IDLE_SEC),
    ("`file_ack` after bytes", sending.STALL_TIMEOUT_SEC),
    ("bytes of a file that it has accepted", sending.STALL_TIMEOUT_SEC),
    (f"bytes of inputs at {arrival.MIN_BYTES_PER_SEC // 1024} KiB a second", arrival.PACE_WINDOW_SEC),
    ("a sign of life of its worker", watch.SILENCE_SEC),
    ("the same, of one that is missing", persistence.AWAY_SEC),
    ("the same, before work that another", watch.SILENCE_SEC),
    ("the same, of one whose data channel is lost", watch.LONG_SILENCE_SEC),
    ("the same, of one that promises", watch.CHANNEL_SILENCE_SEC),
    ("a new data channel in the place", worker_channel.RECONNECT_SEC),
    ("the result's `file_offer`", watch.MODEL_WAIT_SEC),
    ("a further file", exchange.FURTHER_FILE_SEC),
    ("`job_complete` after the last file", inquiry.LAST_WORD_SEC),
    ("the same, of a worker that can be", inquiry.ASKED_WORD_SEC),
    ("the worker's closing", follow.LINGER_SEC),
    ("the client, to take the result", job.RESULT_WAIT_SEC),
    ("the server, to have its `job_cancel`", last_words.CANCEL_DELIVERY_SEC),
    ("`job_cancelled` after that", last_words.CANCEL_WAIT_SEC),
    ("`job_attached` with `follow`", attach.ATTACH_TIMEOUT_SEC),
    ("`job_attached` without `follow`", ask.ANSWER_TIMEOUT_SEC),
    ("`connection_check_answer`", worker_check.ANSWER_SEC),
    ("a checked connection", limits.RATE_PROBE_SEC),
]


def _rows(heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, without their heads."""
    text = REFERENCE.read_text().split(f"### {heading}\n", 1)[1].partition("\n## ")[0].partition("\n### ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|") and "|---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_deadlines_are_the_code_s() -> None:
    found = [(what, seconds) for _, what, seconds, *_ in _rows("Deadlines") if seconds.isdigit()]
    assert len(found) == len(DEADLINES)
    for (what, seconds), (begins, constant) in zip(found, DEADLINES, strict=True):
        assert what.startswith(begins)
        assert float(seconds) == constant, what


def test_what_is_said_again_and_again_is_said_as_often_as_documented() -> None:
    intervals = [every for *_, every in _rows("Deadlines") if every.endswith(" seconds")]
    assert intervals == [
        f"{seconds:.0f} seconds"
        for seconds in (
            limits.STATUS_INTERVAL_SEC,
            agent.HEARTBEAT_INTERVAL_SEC,
            session.PING_INTERVAL_SEC,
        )
    ]
    assert f"without a pong for {session.PONG_TIMEOUT_SEC:.0f} seconds" in REFERENCE.read_text()


def test_the_lengths_of_names_are_the_code_s() -> None:
    lengths = {what: most for what, _, most in _rows("Names")}
    assert lengths["`peer_id`, `role`, `username`"] == lengths["tags, names of properties"]
    assert lengths["`peer_id`, `role`, `username`"] == f"{limits.MAX_NAME_CHARS} characters"
    assert lengths["`job_id`"] == lengths["`transfer_id`"] == f"{limits.MAX_NAME_CHARS} characters"
    assert lengths["`name` of a file"] == f"{names.MAX_NAME_BYTES} bytes of UTF-8"


def test_the_sizes_of_messages_on_the_channel_are_the_code_s() -> None:
    text = " ".join(REFERENCE.read_text().split())
    largest_kib = libwebrtc_engine.MAX_MESSAGE_BYTES // 1024
    assert f"up to {limits.CHUNK_BYTES // 1024} KiB (the engine aiortc) or {largest_kib} KiB" in text
    assert f"{sdp.DEFAULT_MAX_MESSAGE_BYTES // 1024} KiB where it announces nothing" in text
    assert f"one of the names below, of at most {limits.MAX_CONTROL_FRAME_BYTES // 1024} KiB" in text
