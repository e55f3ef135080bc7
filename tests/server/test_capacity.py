"""Which connection makes room for a new one, compared with a model."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import attrs
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.server.capacity import Capacity, Place
from sleaprtc.server.descriptors import RESERVED_DESCRIPTORS, share_out

ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1", ""])
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "come", "settle", "stir", "leave", "move"]),
        ADDRESSES,
        st.integers(0, 50),
    ),
    max_size=80,
)


@attrs.define(eq=False)
class Guest:
    place: Place | None = None
    is_settled: bool = False
    is_ended: bool = False

    def end(self) -> None:
        self.is_ended = True

    def act(self, action: str, address: str) -> None:
        assert self.place is not None
        if action == "settle" and self.place.is_welcome:
            self.place.settle()
            self.is_settled = True
        elif action == "stir":
            self.place.stir()
        elif action == "leave":
            self.place.leave()
            self.place.leave()
        elif action == "move" and not self.is_settled:
            self.place.move_to(address)


@given(ACTIONS, st.integers(1, 8), st.integers(1, 8))
def test_there_are_never_more_than_places_and_whoever_settled_stays(
    actions: list[tuple[str, str, int]], max_connections: int, max_per_address: int
) -> None:
    capacity = Capacity(max_connections=max_connections, max_per_address=max_per_address)
    guests: list[Guest] = []
    for action, address, number in actions:
        before = list(guests)
        if action == "come":
            guest = Guest()
            guest.place = capacity.take_place(address, guest.end)
            if guest.place is None:
                assert len(guests) == max_connections
                assert all(other.is_settled for other in guests)
            else:
                guests.append(guest)
        elif guests:
            guest = guests[number % len(guests)]
            guest.act(action, address)
            if action == "leave":
                guests.remove(guest)
        ended = [other for other in before if other.is_ended]
        assert len(ended) <= 1
        assert not any(other.is_settled for other in ended)
        guests = [guest for guest in guests if not guest.is_ended]
        assert len(guests) <= max_connections
        settled = Counter(
            guest.place.site for guest in guests if guest.place is not None and guest.is_settled
        )
        assert all(count <= max_per_address for count in settled.values())
    for guest in guests:
        guest.act("leave", "")
    assert not capacity.end_oldest_idle()


def test_the_oldest_goes_of_the_address_that_has_the_most() -> None:
    capacity = Capacity(max_connections=5, max_per_address=5)
    gone: list[str] = []

    def come(name: str, address: str) -> Place:
        place = capacity.take_place(address, lambda: gone.append(name))
        assert place is not None
        return place

    come("calm", "192.0.2.1")
    first = come("crowd-1", "192.0.2.2")
    come("crowd-2", "192.0.2.2")
    come("crowd-3", "192.0.2.2").settle()
    come("crowd-4", "192.0.2.2")
    first.stir()
    come("late", "192.0.2.3")
    assert gone == ["crowd-2"]
    come("later", "192.0.2.3")
    assert gone == ["crowd-2", "crowd-4"]
    come("latest", "192.0.2.4")  # two of the third address, which has the most now
    assert gone == ["crowd-2", "crowd-4", "late"]
    come("last", "192.0.2.5")  # one each: the oldest of all
    assert gone == ["crowd-2", "crowd-4", "late", "calm"]


def test_a_proxy_has_places_for_many() -> None:
    capacity = Capacity(max_connections=10, max_per_address=2)
    places = [capacity.take_place("10.0.0.1", lambda: None, is_proxy=True) for _ in range(5)]
    welcome = []
    for place in places:
        assert place is not None
        welcome.append(place.move_to("192.0.2.1"))
        place.settle()
    assert welcome == [True, True, False, False, False]


@given(st.integers(0, 10**6))
def test_both_ports_leave_room_for_files(descriptors: int) -> None:
    capacities = share_out(descriptors)
    assert min(capacities.ws, capacities.http) > 0
    assert capacities.ws >= capacities.http
    if descriptors >= 2 * RESERVED_DESCRIPTORS:
        assert capacities.ws + capacities.http + RESERVED_DESCRIPTORS == descriptors


def test_the_limit_is_raised_as_far_as_the_system_lets_it() -> None:
    code = (
        "import resource\n"
        "from sleaprtc.server.descriptors import *\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))\n"
        "assert descriptor_limit() == 100\n"
        "raise_descriptor_limit()\n"
        "raise_descriptor_limit()\n"
        "assert descriptor_limit() == 300\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
