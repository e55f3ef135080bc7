"""Invites: their form, and what comes of other lines."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.access.choice import RoomSource, RoomSources, find_access
from sleaprtc.access.invite import Invite, export_lines
from sleaprtc.access.joined_room import RememberedRoom, as_json, from_json
from sleaprtc.errors import UsageError
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling.http import Endpoints, Room

SECRET = RoomSecret(bytes(range(16)))
S = SECRET.text
ROOM = Room("a7f3d2e1", "f9g2h5f9g2h5")
TAIL = f"/a7f3d2e1#f9g2h5f9g2h5.{S}"


@pytest.mark.parametrize(
    ("ws_url", "http_url", "address"),
    [
        ("ws://gpu-box:8080/", "http://gpu-box:8001", "sleap-rtc://gpu-box"),
        ("ws://gpu-box:9000/", "http://gpu-box:8001/", "sleap-rtc://gpu-box:9000"),
        ("ws://gpu-box:8080/", "http://gpu-box:9001", "sleap-rtc://gpu-box:8080,9001"),
        ("wss://gpu-box/", "https://gpu-box", "sleap-rtcs://gpu-box:443,443"),
        ("ws://[::1]:8080/", "http://[::1]:8001", "sleap-rtc://[::1]"),
    ],
)
def test_an_invite_is_one_line_and_says_everything(ws_url, http_url, address):
    line = Invite(Endpoints(ws_url, http_url), ROOM, SECRET).line()
    assert line == address + TAIL
    read = Invite.parse(f"  {line}\n")
    assert (read.room, read.secret) == (ROOM, SECRET)
    assert read.line() == line


@pytest.mark.parametrize(
    ("ws_url", "http_url"),
    [
        ("ws://a:8080/", "http://b:8001"),
        ("wss://a:8080/", "http://a:8001"),
        ("ws://a:8080/signaling", "http://a:8001"),
        ("ws://a:8080/", "http://me:word@a:8001"),
    ],
)
def test_addresses_that_no_invite_can_have_are_handed_on_singly(ws_url, http_url):
    endpoints = Endpoints(ws_url, http_url)
    assert Invite(endpoints, ROOM, SECRET).line() is None
    lines = "\n".join(export_lines(endpoints, ROOM, SECRET))
    assert "SLEAP_RTC_INVITE" not in lines
    assert f"SLEAP_RTC_TOKEN={ROOM.token} SLEAP_RTC_SECRET={S}" in lines


room_words = st.text("abcxyz0189-", min_size=1, max_size=64)


@given(
    room_words,
    room_words,
    st.binary(min_size=16, max_size=16),
)
def test_any_room_and_token_come_back(room_id, token, key):
    invite = Invite(Endpoints("ws://h:1/", "http://h:2"), Room(room_id, token), RoomSecret(key))
    line = invite.line()
    assert len(line.split()) == 1
    assert Invite.parse(line) == invite


ODD_WORDS = ["A", "a;b", "a%0ab", "..%2fa", "a" * 65, "%ED%A0%80", "é", "a_b"]


@pytest.mark.parametrize("word", ODD_WORDS)
def test_a_room_or_token_that_can_be_none(word):
    for line in (f"sleap-rtc://h/{word}#{ROOM.token}.{S}", f"sleap-rtc://h/{ROOM.room_id}#{word}.{S}"):
        with pytest.raises(UsageError, match="lower-case letters, digits and hyphens"):
            Invite.parse(line)
    for named in ({"room": word, "token": ROOM.token}, {"room": ROOM.room_id, "token": word}):
        with pytest.raises(UsageError, match="lower-case letters, digits and hyphens"):
            access_by(**named)
    for kept in ({"room_id": word}, {"token": word}):
        joined = as_json(RememberedRoom(Endpoints("ws://h:1/", "http://h:2"), ROOM, SECRET))
        with pytest.raises(ValueError, match="lower-case letters, digits and hyphens"):
            from_json({**joined, **kept})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        f"http://gpu-box{TAIL}",
        f"sleap-rtc://{TAIL}",
        f"sleap-rtc://gpu-box:0{TAIL}",
        f"sleap-rtc://gpu-box:8080,70000{TAIL}",
        "sleap-rtc://gpu-box/a7f3d2e1",
        f"sleap-rtc://gpu-box/#f9g2h5.{S}",
        "sleap-rtc://gpu-box/a7f3d2e1#f9g2h5f9g2h5",
        f"sleap-rtc://gpu-box/a7f3d2e1#f9g2h5f9g2h5.{S[:-1]}",
        f"sleap-rtc://me@gpu-box{TAIL}",
    ],
)
def test_what_is_no_invite_is_refused_without_being_repeated(line):
    with pytest.raises(UsageError) as refused:
        Invite.parse(line)
    assert S[:8] not in str(refused.value)
    assert "f9g2h5" not in str(refused.value)


@given(st.text())
def test_no_text_makes_it_stumble(text):
    with pytest.raises(UsageError):
        Invite.parse(text)


# --- among the options ----------------------------------------------------------------------

ENDPOINTS = Endpoints("ws://127.0.0.1:8080/", "http://127.0.0.1:8001")
LINE = f"sleap-rtc://gpu-box{TAIL}"


def access_by(endpoints=ENDPOINTS, **named):
    """What somebody gets to who names all this in one place."""
    return find_access(endpoints, RoomSources((RoomSource("the command line", named),)))


def test_an_invite_gives_server_room_and_secret():
    access = access_by(attrs.evolve(ENDPOINTS, ca_file="ca.pem"), invite=LINE)
    assert access.endpoints == Endpoints("ws://gpu-box:8080/", "http://gpu-box:8001", "ca.pem")
    assert access.room == ROOM
    assert access.secret == SECRET
    assert S not in repr(access)
    assert ROOM.token not in repr(access)


@pytest.mark.parametrize("other", [{"room": "other"}, {"token": "other-token"}, {"secret": "A" * 22}])
def test_an_invite_and_another_room_contradict_each_other(other):
    with pytest.raises(UsageError, match="another room"):
        access_by(invite=LINE, **other)
    same = {"room": ROOM.room_id, "token": ROOM.token, "secret": S}
    assert access_by(invite=LINE, **same).secret == SECRET


def test_a_token_comes_from_a_file(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("f9g2h5f9g2h5\n")
    access = access_by(room="a7f3d2e1", token="stale", token_file=path)
    assert attrs.evolve(access.room, expires_at=None) == ROOM
    for content in (b"", b"two words", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="token file"):
            access_by(room="a7f3d2e1", token_file=path)
    with pytest.raises(UsageError, match="can't be read"):
        access_by(room="a7f3d2e1", token_file=tmp_path / "none")
