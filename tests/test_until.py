"""What tests wait with: for conditions that are awaited or not, and not for ever."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from .support.waiting import block_until, until


async def test_a_condition_is_waited_for_and_returned(autojump_clock: trio.testing.MockClock) -> None:
    async def in_a_minute() -> str:
        return "now" if trio.current_time() - begun > 60 else ""

    begun = trio.current_time()
    assert await until(in_a_minute) == "now"
    assert await until(lambda: trio.current_time() - begun < 70, becomes=False) is False
    assert block_until(lambda: 5) == 5


async def test_one_that_never_comes_true_is_named(autojump_clock: trio.testing.MockClock) -> None:
    nothing: list[str] = []
    with pytest.raises(AssertionError, match=r"Waited 120 s in vain, .* \[\]:\n.*lambda: nothing"):
        await until(lambda: nothing)
    with pytest.raises(AssertionError, match="still True"):
        block_until(lambda: True, becomes=False, patience_sec=0)
