"""Which room is meant: never the id of one with the token of another."""

from __future__ import annotations

import itertools

import pytest

from sleaprtc.access.choice import ROOM_SETTINGS, RoomSource, chosen_room

FLAG, ENV, FILE = "the command line", "the environment", "sleap-rtc.toml"


def chosen(*said):
    return chosen_room([RoomSource(origin, values) for origin, values in said])


A = {"room": "a", "token": "of-a", "secret": "secret-of-a"}
B = {"room": "b", "token": "of-b"}
INVITE = {"invite": "invite-to-c"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(FLAG, {}), (ENV, A), (FILE, B)], A),
        ([(FLAG, B), (ENV, A)], B),
        ([(FLAG, {"room": "b"}), (ENV, A)], {"room": "b"}),
        ([(FLAG, {"room": "a"}), (ENV, A)], A),
        ([(FLAG, {"room": "b"}), (ENV, {"token": "of-b"})], B),
        ([(FLAG, {"room": "b"}), (ENV, INVITE)], {"room": "b"}),
        ([(FLAG, {"token": "other"}), (ENV, A)], {**A, "token": "other"}),
        ([(FLAG, {"token_file": "other"}), (ENV, B)], {"room": "b", "token_file": "other"}),
        ([(FLAG, INVITE), (ENV, A), (FILE, {"token": "alone"})], INVITE),
        ([(ENV, {}), (FILE, {**INVITE, **A})], {**INVITE, **A}),
        ([(FLAG, {"token": "alone"}), (FILE, INVITE)], {"token": "alone", **INVITE}),
        ([(FLAG, {"token": "alone"}), (ENV, {})], {"token": "alone"}),
        ([(FLAG, {}), (ENV, {})], {}),
    ],
)
def test_the_strongest_source_that_names_a_room_has_the_say(said, expected):
    assert chosen(*said) == expected


def test_no_mixture_of_sources_mixes_rooms():
    """Whatever three sources say, token and secret are of the room that is chosen, or stood alone."""
    kinds = [{}, A, B, {"room": "a"}, {"room": "b"}, {"token": "alone"}, INVITE, {"secret": "alone"}]
    for said in itertools.product(kinds, repeat=3):
        found = chosen(*zip((FLAG, ENV, FILE), said, strict=True))
        assert set(found) <= set(ROOM_SETTINGS)
        assert not {"invite", "room"} <= set(found)
        for name in ("token", "secret"):
            owner = found.get(name, "alone").rpartition("of-")[2]
            assert owner in ("alone", found.get("room"))
