"""What waits is counted, whatever becomes of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.server.outbox import Outbox, OutboxBudget


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["put", "put", "rest", "take", "close", "discard"]),
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
