"""Whether a worker is away or lost is decided from what is seen of it, at a time that is passed in."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.client.jobs.follower.watch import (
    AWAY_SHOWN_SEC,
    CHANNEL_SILENCE_SEC,
    LONG_SILENCE_SEC,
    MODEL_WAIT_SEC,
    PATIENT,
    SILENCE_SEC,
    Forbearance,
    Look,
    Sight,
    Verdict,
    Watch,
    patience_sec,
)
from sleaprtc.client.jobs.order.persistence import AWAY_SEC

LOST = {Verdict.HAS_LEFT, Verdict.IS_SILENT}
SILENT = SILENCE_SEC + 0.1
AWAY = AWAY_SHOWN_SEC + 0.1
HASTY = Forbearance(is_replaceable=True)
UNBEGUN = Sight(silence_sec=SILENT, has_begun=False, was_heard=False)

forbearances = st.builds(Forbearance, away_sec=st.floats(0, 400), is_replaceable=st.booleans())
sights = st.builds(
    Sight,
    silence_sec=st.floats(0, 500),
    overdue_sec=st.none() | st.floats(0, 500),
    undelivered=st.booleans(),
    is_online=st.booleans(),
    is_settled=st.booleans(),
    has_channel=st.booleans(),
    had_channel=st.booleans(),
    was_heard=st.booleans(),
    has_begun=st.booleans(),
    promises_statuses=st.booleans(),
    look=st.sampled_from(Look),
)


def judge_all(watch: Watch, sight: Sight, *looks: Look) -> list[Verdict]:
    return [watch.judge(attrs.evolve(sight, look=look)) for look in looks]


def test_a_worker_that_reports_is_left_alone() -> None:
    sight = Sight(silence_sec=SILENCE_SEC)
    assert not sight.is_worth_a_look
    assert Watch(PATIENT).judge(sight) is Verdict.WAIT


def test_a_silent_worker_is_looked_for_and_then_asked() -> None:
    sight = Sight(silence_sec=SILENT)
    assert sight.is_worth_a_look
    present = attrs.evolve(sight, look=Look.PRESENT)
    assert Watch(PATIENT).judge(present) is Verdict.ASK
    unheard = attrs.evolve(present, was_heard=False)
    assert Watch(PATIENT).judge(unheard) is Verdict.WAIT  # it may know nothing of the job yet


def test_before_work_another_worker_gets_the_job_of_one_that_is_missing_twice_in_a_row() -> None:
    looks = (Look.MISSING, Look.PRESENT, Look.MISSING, Look.MISSING)
    seen = judge_all(Watch(HASTY), UNBEGUN, *looks)
    assert [verdict in LOST for verdict in seen] == [False, False, False, True]
    at_once = Sight(silence_sec=0, undelivered=True, has_begun=False)
    assert at_once.is_worth_a_look
    assert judge_all(Watch(HASTY), at_once, Look.PRESENT) == [Verdict.WAIT]
    assert judge_all(Watch(HASTY), at_once, Look.MISSING) == [Verdict.HAS_LEFT]


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_worker_that_may_go_on_or_that_nobody_can_replace_is_waited_for(has_begun: bool) -> None:
    forbearance = HASTY if has_begun else PATIENT
    watch, sight = Watch(forbearance), Sight(SILENT, undelivered=True, has_begun=has_begun)
    missing = [
        (silence_sec, watch.judge(attrs.evolve(sight, silence_sec=silence_sec, look=Look.MISSING)))
        for silence_sec in (SILENT, AWAY, 60.0, AWAY_SEC - 1, AWAY_SEC)
    ]
    assert [verdict for _, verdict in missing] == [
        Verdict.WAIT,
        Verdict.AWAY,  # said once
        Verdict.WAIT,
        Verdict.WAIT,
        Verdict.HAS_LEFT,
    ]


def test_a_worker_that_was_away_is_asked_as_soon_as_it_is_in_the_room_again() -> None:
    watch, sight = Watch(PATIENT), Sight(silence_sec=AWAY)
    assert judge_all(watch, sight, Look.MISSING, Look.MISSING) == [Verdict.WAIT, Verdict.AWAY]
    assert judge_all(watch, sight, Look.PRESENT, Look.PRESENT) == [Verdict.ASK, Verdict.ASK]
    heard = Sight(silence_sec=0.5)
    assert [watch.judge(heard), watch.judge(heard)] == [Verdict.BACK, Verdict.WAIT]
    assert judge_all(watch, sight, Look.MISSING, Look.MISSING) == [Verdict.WAIT, Verdict.AWAY]


def test_a_client_that_has_just_come_back_counts_no_absence() -> None:
    watch, sight = Watch(Forbearance(away_sec=0)), Sight(silence_sec=SILENT, look=Look.MISSING)
    unsettled = attrs.evolve(sight, is_settled=False)
    assert not unsettled.is_worth_a_look
    seen = [watch.judge(each) for each in (sight, unsettled, sight, sight)]
    assert seen == [Verdict.WAIT, Verdict.WAIT, Verdict.WAIT, Verdict.HAS_LEFT]


@pytest.mark.parametrize(
    ("has_channel", "had_channel", "promises", "hasty_sec", "patient_sec"),
    [
        (True, True, False, math.inf, math.inf),
        (True, True, True, CHANNEL_SILENCE_SEC, AWAY_SEC),
        (False, True, False, LONG_SILENCE_SEC, AWAY_SEC),
        (False, True, True, LONG_SILENCE_SEC, AWAY_SEC),
        (False, False, False, math.inf, math.inf),
        (False, False, True, math.inf, AWAY_SEC),
    ],
)
def test_how_long_a_silence_may_be(
    has_channel: bool, had_channel: bool, promises: bool, hasty_sec: float, patient_sec: float
) -> None:
    sight = attrs.evolve(
        UNBEGUN,
        has_channel=has_channel,
        had_channel=had_channel,
        promises_statuses=promises,
        look=Look.PRESENT,
    )
    begun = attrs.evolve(sight, has_begun=True)
    for forbearance, seen, expected_sec in (
        (HASTY, sight, hasty_sec),
        (PATIENT, sight, patient_sec),
        (HASTY, begun, patient_sec),
    ):
        assert patience_sec(seen, forbearance) == expected_sec
        watch = Watch(forbearance)
        for silence_sec in (5.0, 9.0, 11.0, 59.0, 61.0, 299.0, 301.0, 10_000.0):
            verdict = watch.judge(attrs.evolve(seen, silence_sec=silence_sec))
            assert (verdict is Verdict.IS_SILENT) == (silence_sec > expected_sec)


def test_a_result_is_not_waited_for_without_end() -> None:
    late = Sight(0, overdue_sec=MODEL_WAIT_SEC + 1)
    assert Watch(PATIENT).judge(late) is Verdict.RESULT_OVERDUE
    assert Watch(PATIENT).judge(Sight(0, overdue_sec=MODEL_WAIT_SEC)) is Verdict.WAIT
    offline = attrs.evolve(late, is_online=False, has_channel=False)
    assert Watch(PATIENT).judge(offline) is Verdict.WAIT  # no channel can be made without the server


@given(forbearance=forbearances, seen=st.lists(sights, max_size=8))
def test_no_worker_is_lost_without_silence_or_absence(forbearance: Forbearance, seen: list[Sight]) -> None:
    watch = Watch(forbearance)
    for sight in seen:
        verdict = watch.judge(sight)
        if verdict in LOST:
            assert sight.is_online
            assert sight.is_settled
            assert sight.silence_sec >= patience_sec(sight, forbearance)
            assert (verdict is Verdict.HAS_LEFT) == (sight.look is Look.MISSING)
        if verdict in LOST and (sight.has_begun or not forbearance.is_replaceable):
            assert sight.silence_sec >= forbearance.away_sec


@given(forbearance=forbearances, seen=st.lists(sights, max_size=12))
def test_a_worker_is_said_to_be_back_only_after_it_was_said_to_be_away(
    forbearance: Forbearance, seen: list[Sight]
) -> None:
    watch = Watch(forbearance)
    said = [watch.judge(sight) for sight in seen]
    turns = [verdict for verdict in said if verdict in (Verdict.AWAY, Verdict.BACK)]
    assert turns == [Verdict.AWAY, Verdict.BACK] * (len(turns) // 2) + [Verdict.AWAY] * (len(turns) % 2)
