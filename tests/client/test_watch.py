"""Whether a worker is lost is decided from what is seen of it, at a time that is passed in."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.client.jobs.follower.watch import (
    CHANNEL_SILENCE_SEC,
    LONG_SILENCE_SEC,
    MODEL_WAIT_SEC,
    SILENCE_SEC,
    Sight,
    Verdict,
    Watch,
    patience_sec,
)

LOST = {Verdict.HAS_LEFT, Verdict.IS_SILENT}
SILENT = SILENCE_SEC + 0.1

sights = st.builds(
    Sight,
    silence_sec=st.floats(0, 200),
    overdue_sec=st.none() | st.floats(0, 200),
    undelivered=st.booleans(),
    is_online=st.booleans(),
    is_settled=st.booleans(),
    has_channel=st.booleans(),
    had_channel=st.booleans(),
    was_heard=st.booleans(),
)


def judge(watch: Watch, sight: Sight, *, is_missing: bool = False) -> Verdict:
    """Judges as the watcher does: after a look, where one is asked for."""
    verdict = watch.begin(sight)
    return watch.conclude(sight, is_missing=is_missing) if verdict is Verdict.LOOK else verdict


def test_a_worker_that_reports_is_left_alone() -> None:
    assert Watch().begin(Sight(silence_sec=SILENCE_SEC)) is Verdict.WAIT


def test_a_silent_worker_is_looked_for_and_then_asked() -> None:
    watch, sight = Watch(), Sight(silence_sec=SILENT)
    assert watch.begin(sight) is Verdict.LOOK
    assert watch.conclude(sight, is_missing=False) is Verdict.ASK
    unheard = attrs.evolve(sight, was_heard=False)
    assert judge(watch, unheard) is Verdict.WAIT  # it may know nothing of the job yet


def test_a_worker_is_lost_that_is_missing_twice_in_a_row() -> None:
    watch, sight = Watch(), Sight(silence_sec=SILENT)
    seen = [judge(watch, sight, is_missing=missing) for missing in (True, False, True, True)]
    assert [verdict in LOST for verdict in seen] == [False, False, False, True]


def test_a_worker_is_lost_at_once_that_is_missing_and_whose_message_came_back() -> None:
    sight = Sight(silence_sec=0, undelivered=True)
    assert Watch().begin(sight) is Verdict.LOOK
    assert judge(Watch(), sight, is_missing=False) is Verdict.WAIT
    assert judge(Watch(), sight, is_missing=True) is Verdict.HAS_LEFT


def test_a_client_that_has_just_come_back_counts_no_absence() -> None:
    watch, sight = Watch(), Sight(silence_sec=SILENT)
    assert judge(watch, sight, is_missing=True) is Verdict.WAIT
    assert watch.begin(attrs.evolve(sight, is_settled=False)) is Verdict.WAIT
    assert judge(watch, sight, is_missing=True) is Verdict.WAIT
    assert judge(watch, sight, is_missing=True) is Verdict.HAS_LEFT


@pytest.mark.parametrize(
    ("has_channel", "had_channel", "promises", "expected_sec"),
    [
        (True, True, False, math.inf),
        (True, True, True, CHANNEL_SILENCE_SEC),
        (False, True, False, LONG_SILENCE_SEC),
        (False, True, True, LONG_SILENCE_SEC),
        (False, False, True, math.inf),
    ],
)
def test_how_long_a_silence_may_be(
    has_channel: bool, had_channel: bool, promises: bool, expected_sec: float
) -> None:
    sight = Sight(silence_sec=0, has_channel=has_channel, had_channel=had_channel)
    assert patience_sec(sight, promises_statuses=promises) == expected_sec
    watch = Watch()
    watch.promises_statuses = promises
    for silence_sec in (5.0, 9.0, 11.0, 59.0, 61.0, 10_000.0):
        verdict = judge(watch, attrs.evolve(sight, silence_sec=silence_sec))
        assert (verdict is Verdict.IS_SILENT) == (silence_sec > expected_sec)


def test_a_result_is_not_waited_for_without_end() -> None:
    assert Watch().begin(Sight(0, overdue_sec=MODEL_WAIT_SEC + 1)) is Verdict.RESULT_OVERDUE
    assert Watch().begin(Sight(0, overdue_sec=MODEL_WAIT_SEC)) is Verdict.WAIT


@given(seen=st.lists(st.tuples(sights, st.booleans()), max_size=8))
def test_no_worker_is_lost_without_silence_or_absence(seen: list[tuple[Sight, bool]]) -> None:
    watch = Watch()
    for sight, is_missing in seen:
        verdict = judge(watch, sight, is_missing=is_missing)
        if verdict is Verdict.HAS_LEFT:
            assert is_missing
            assert sight.undelivered or sight.silence_sec > SILENCE_SEC
        if verdict is Verdict.IS_SILENT:
            assert sight.is_online
            assert sight.silence_sec > LONG_SILENCE_SEC
        if sight.is_online and not sight.is_settled:
            assert verdict not in LOST
