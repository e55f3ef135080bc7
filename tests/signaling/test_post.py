"""Signals go to their sender's connection and job messages to whoever waits, whatever else arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.protocol.codec import encode_job_message
from sleaprtc.protocol.jobs import JobFailed, JobMessage, JobStop
from sleaprtc.protocol.messages import Candidate, ErrorMessage, JSONObject, Offer, PeerMessage
from sleaprtc.signaling.post import SIGNALS_WAITING, Post, SignalReceiver, SignalSorter, open_signal_queue


def everything_in(queue: SignalReceiver) -> list[str]:
    found = []
    while queue.statistics().current_buffer_used:
        found.append(queue.receive_nowait().sender)
    return found


def offer(sender: str) -> Offer:
    return Offer(sender, "me", "v=0")


@given(senders=st.lists(st.sampled_from("abc"), max_size=20))
def test_each_peer_has_a_queue_of_its_own(senders: list[str]) -> None:
    sorter = SignalSorter()
    queues = {peer: sorter.open(peer) for peer in "ab"}
    for sender in senders:
        assert sorter.sort(offer(sender)) == (sender in queues)
    for peer, queue in queues.items():
        assert everything_in(queue) == [peer] * senders.count(peer)


def test_an_earlier_queue_gets_no_more_and_cannot_take_the_later_one_away() -> None:
    sorter = SignalSorter()
    (first, first_out), (second, second_out) = open_signal_queue(), open_signal_queue()
    sorter.direct("a", first)
    sorter.direct("a", second)
    sorter.withdraw("a", first)
    assert sorter.has("a")
    assert sorter.sort(offer("a"))
    assert (everything_in(first_out), everything_in(second_out)) == ([], ["a"])
    sorter.withdraw("a", second)
    assert not sorter.has("a")
    assert not sorter.sort(offer("a"))


def test_a_flood_of_signals_and_a_connection_that_is_over_raise_nothing() -> None:
    sorter = SignalSorter()
    queue = sorter.open("a")
    for _ in range(SIGNALS_WAITING + 10):
        assert sorter.sort(Candidate("a", "me", {}))
    assert len(everything_in(queue)) == SIGNALS_WAITING
    queue.close()
    assert sorter.sort(offer("a"))


async def test_job_messages_come_from_partners_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.signaling.post.JOB_MESSAGES_WAITING", 2)
    post = Post()
    post.add_partner("gpu-1")
    flood: list[JobMessage] = [JobStop(f"job-{number}") for number in range(3)]
    for message in flood:
        post.sort(PeerMessage("stranger", "me", encode_job_message(message)))
        post.sort(PeerMessage("gpu-1", "me", encode_job_message(message)))
    assert [await post.next_job_message() for _ in range(2)] == [("gpu-1", word) for word in flood[:2]]
    assert set(post.last_heard) == {"gpu-1"}


async def test_what_cannot_be_read_is_dropped_but_for_the_end_of_a_job() -> None:
    post = Post()
    post.add_partner("gpu-1")
    odd: JSONObject = {"app_message_type": "levitate", "job_id": "job"}
    cut: JSONObject = {"app_message_type": "job_failed", "job_id": "job", "error": "It broke."}
    for payload in (odd, cut):
        post.sort(PeerMessage("gpu-1", "me", payload))
    _, message = await post.next_job_message()
    assert isinstance(message, JobFailed)
    assert message.error.message == "It broke."


async def test_an_error_of_the_server_wakes_whoever_waits_for_a_peer() -> None:
    post = Post()
    waiting = post.undeliverable
    post.sort(ErrorMessage("PEER_NOT_FOUND", "There is no such peer."))
    assert waiting.is_set()
    assert not post.undeliverable.is_set()
