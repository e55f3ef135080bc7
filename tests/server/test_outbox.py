"""Waiting messages are counted, whether they are sent or dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.base.fair_share import FairShare
from sleaprtc.server.outbox import Outbox, OutboxBudget


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["put", "put", "send", "send", "rest", "take", "give up", "close", "discard"]),
            st.binary(),
        )
    ),
    st.integers(1, 20),
    st.integers(1, 60),
)
def test_the_budget_is_what_waits(
    actions: list[tuple[int, str, bytes]], max_bytes: int, budget_bytes: int
) -> None:
    budget = OutboxBudget(budget_bytes, share_bytes=5)
    boxes = [Outbox(max_messages=3, max_bytes=max_bytes, budget=budget) for _ in range(4)]
    for number, action, data in actions:
        box = boxes[number]
        if action == "put":
            box.put(data)
        elif action == "send":
            box.put(data, sender=len(data))
        elif action == "give up":
            box.give_up()
        elif action == "rest" and box.is_empty():
            box.put_rest(memoryview(data))
        elif action == "take":
            box.take_now()
        elif action == "close":
            box.close(None)
        elif action == "discard":
            box.discard()
        assert budget.used_bytes >= 0
    for box in boxes:
        box.discard()
    assert budget.used_bytes == 0


@given(st.lists(st.integers(0, 5), max_size=200), st.integers(2, 50), st.integers(1, 5))
def test_whoever_holds_little_finds_a_place(wanted: list[int], limit: int, due: int) -> None:
    share, held = FairShare(limit, due), dict.fromkeys(range(6), 0)
    for key in wanted:
        has_room = share.has_room_for(key)
        assert has_room or held[key] >= due
        if has_room:
            share.add(key)
            held[key] += 1
        assert share.used == sum(held.values()) <= limit + due * len(held)
    for key, count in held.items():
        assert count <= max(due, limit // 2 + 1)
        for _ in range(count):
            share.remove(key)
    assert share.used == 0


def test_no_sender_makes_an_outbox_overflow() -> None:
    box = Outbox(max_messages=100, max_bytes=1000, budget=OutboxBudget(1000, share_bytes=1000))
    taken = [sum(box.put(b"x", sender) for _ in range(500)) for sender in range(5)]
    assert taken == [50, 25, 16, 16, 16]
    assert all(box.put(b"x") for _ in range(100))  # the server's own have places of their own
    assert not box.overflowed
    assert not box.put(b"x")
    assert box.overflowed
