"""The protocol reference names everything that the code can say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from sleaprtc.protocol import jobs, limits, messages, transfer
from sleaprtc.protocol.close_codes import CloseCode

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


def test_every_close_code_is_there(words: set[str]) -> None:
    assert {str(int(code)) for code in CloseCode} <= words


def test_the_limits_are_the_code_s() -> None:
    text = REFERENCE.read_text()
    assert f"most {limits.MAX_FRAME_BYTES // 1024} KiB" in text
    assert f"most {limits.MAX_SERVER_FRAME_BYTES // limits.MIB} MiB" in text
    assert f"most {limits.MAX_HTTP_BODY_BYTES // 1024} KiB" in text
    assert f"most {limits.MAX_JSON_DEPTH} levels" in text
    assert f"at most {limits.MAX_TAGS} tags, {limits.MAX_PROPERTIES}" in text
    assert f"at most {limits.MAX_NAME_CHARS} characters" in text
    assert f"at most {limits.MAX_UNACKNOWLEDGED_BYTES // limits.MIB} MiB unacknowledged" in text
    assert f"`token` {limits.ROOM_TOKEN_CHARS}" in text
    assert f"slot for {limits.RESERVATION_SEC:.0f} seconds" in text
    assert f"within {limits.REGISTRATION_TIMEOUT_SEC:.0f} seconds of connecting" in text
