"""The transfer protocol's two state machines against each other, and against arbitrary input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sleaprtc.errors import InvalidMessageError, ProtocolError
from sleaprtc.protocol.codec import encode_transfer_frame
from sleaprtc.protocol.limits import MAX_UNACKNOWLEDGED_BYTES, MIB
from sleaprtc.protocol.transfer import FileAbort, FileAccept, FileAck, FileDone, FileOffer, FileRefuse
from sleaprtc.transfer import framing
from sleaprtc.transfer.framing import Framing, parse_digest

DIGEST = "sha256:" + "0" * 64


def test_digests_are_named() -> None:
    assert parse_digest("sha256:" + "AB" * 32) == ("sha256", "ab" * 32)
    assert parse_digest("SHA-256:" + "ab" * 32) == ("sha256", "ab" * 32)
    assert parse_digest("blake3:" + "ab" * 32) == ("blake3", "ab" * 32)
    for wrong in (
        "",
        "ab" * 32,
        "sha256:",
        "sha256:" + "ab" * 31,
        "sha256:" + "zz" * 32,
        "sha1:" + "ab" * 32,
    ):
        with pytest.raises(InvalidMessageError):
            parse_digest(wrong)


def test_an_offer_is_withdrawn_while_another_file_is_received() -> None:
    receiver = Framing().receiver
    first, second = (FileOffer(name, "x", 1000, DIGEST, "dataset") for name in ("first", "second"))
    receiver.frame_received(first)
    receiver.frame_received(second)
    receiver.accept("first", 0)
    # an equal id, which needn't be the same object
    receiver.frame_received(FileAbort("".join(["sec", "ond"]), "X", "changed its mind"))
    assert (receiver.current, receiver.is_pending("second")) == (first, False)
    receiver.frame_received(FileAbort("".join(["fir", "st"]), "X", "changed its mind"))
    assert receiver.current is None


def test_bytes_of_no_file_are_an_error_once_the_next_is_offered() -> None:
    receiver = Framing().receiver
    receiver.frame_received(FileOffer("first", "x", 1000, DIGEST, "dataset"))
    receiver.accept("first", 0)
    receiver.abort("X", "changed its mind")
    assert receiver.bytes_received(400) is None  # they were under way
    receiver.frame_received(FileOffer("second", "x", 1000, DIGEST, "dataset"))
    with pytest.raises(InvalidMessageError, match="no file"):
        receiver.bytes_received(1)


class TwoSides(RuleBasedStateMachine):
    """A sender and a receiver that follow the protocol, over an ordered channel in each direction.

    In whatever order their frames arrive, the machines never raise, and agree in the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Framing(), Framing()
        self.to_b: list[Any] = []
        self.to_a: list[Any] = []
        self.offered: list[FileOffer] = []
        self.accepted_offsets: dict[str, int] = {}
        self.outcomes: dict[str, str] = {}
        self.count = 0

    # the sending side

    @precondition(lambda self: self.a.sender.offer is None)
    @rule(size_bytes=st.sampled_from([0, 1, 1000, 3 * MIB, 20 * MIB]))
    def offer(self, size_bytes: int) -> None:
        self.count += 1
        offer = FileOffer(f"t{self.count}", "x", size_bytes, DIGEST, "dataset")
        self.to_b.append(self.a.sender.start(offer))

    @precondition(lambda self: self.a.sender.sendable_bytes > 0)
    @rule(share=st.sampled_from([0.1, 1.0]))
    def send(self, share: float) -> None:
        byte_count = max(1, int(self.a.sender.sendable_bytes * share))
        self.a.sender.bytes_sent(byte_count)
        self.to_b.append(byte_count)

    @precondition(lambda self: self.a.sender.offer is not None)
    @rule()
    def give_up_sending(self) -> None:
        self.to_b.append(self.a.sender.abort("CANCELLED", "x"))

    @precondition(lambda self: self.to_a)
    @rule()
    def hear_at_a(self) -> None:
        self.a.text_received(encode_transfer_frame(self.to_a.pop(0)))

    # the receiving side

    @precondition(lambda self: self.to_b)
    @rule()
    def hear_at_b(self) -> None:
        message = self.to_b.pop(0)
        if isinstance(message, int):
            self.b.receiver.bytes_received(message)
            return
        event = self.b.text_received(encode_transfer_frame(message))
        if isinstance(event, framing.Offered):
            self.offered.append(event.offer)

    @precondition(lambda self: self.offered and self.b.receiver.current is None)
    @rule(share=st.sampled_from([0.0, 0.5, 1.0]), refuse=st.booleans())
    def answer(self, share: float, refuse: bool) -> None:
        offer = self.offered.pop(0)
        if not self.b.receiver.is_pending(offer.transfer_id):
            return
        if refuse:
            self.to_a.append(self.b.receiver.refuse(offer.transfer_id, "X", "x"))
        else:
            self.to_a.append(self.b.receiver.accept(offer.transfer_id, int(offer.size_bytes * share)))

    @precondition(lambda self: self.b.receiver.received_bytes > self.b.receiver.written_bytes)
    @rule()
    def write(self) -> None:
        receiver = self.b.receiver
        frame = receiver.bytes_written(receiver.received_bytes - receiver.written_bytes)
        if frame is not None:
            self.to_a.append(frame)

    @precondition(
        lambda self: (
            self.b.receiver.current is not None
            and self.b.receiver.written_bytes == self.b.receiver.current.size_bytes
        )
    )
    @rule()
    def finish(self) -> None:
        self.to_a.append(self.b.receiver.finish())

    @precondition(lambda self: self.b.receiver.current is not None)
    @rule()
    def give_up_receiving(self) -> None:
        self.to_a.append(self.b.receiver.abort("STORAGE", "x"))

    @invariant()
    def no_more_is_in_flight_than_may_be(self) -> None:
        sender = self.a.sender
        assert 0 <= sender.sent_bytes - sender.received_bytes <= MAX_UNACKNOWLEDGED_BYTES
        if sender.offer is not None:
            assert sender.sent_bytes <= sender.offer.size_bytes

    @invariant()
    def nothing_is_stuck(self) -> None:
        """Once all frames are handled and all bytes written, either side can go on."""
        sender, receiver = self.a.sender, self.b.receiver
        if self.to_a or self.to_b or sender.offer is None or receiver.current is None:
            return
        if receiver.received_bytes == receiver.written_bytes < receiver.current.size_bytes:
            assert sender.sendable_bytes > 0


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(max_examples=settings.default.max_examples * 3 // 5, stateful_step_count=40)

ids = st.sampled_from(["t1", "t2", "", "x" * 200])
amounts = st.sampled_from([-1, 0, 1, 50, 99, 100, 101, 2**70])
any_frame = st.one_of(
    st.builds(
        FileOffer, ids, st.text(max_size=5), amounts, st.sampled_from([DIGEST, "md5:0"]), st.just("model")
    ),
    st.builds(FileAccept, ids, amounts),
    st.builds(FileRefuse, ids, st.just("X"), st.just("x")),
    st.builds(FileAck, ids, amounts),
    st.builds(FileDone, ids),
    st.builds(FileAbort, ids, st.just("X"), st.just("x")),
)
anything = st.one_of(any_frame.map(encode_transfer_frame), st.text(), st.binary(max_size=200))


@given(st.lists(anything, max_size=20))
def test_whatever_comes_only_protocol_errors_leave(messages: list[str | bytes]) -> None:
    machine = Framing()
    machine.sender.start(FileOffer("t1", "x", 100, DIGEST, "dataset"))
    for message in messages:
        try:
            if isinstance(message, str):
                event = machine.text_received(message)
                if isinstance(event, framing.Offered) and machine.receiver.current is None:
                    machine.receiver.accept(event.offer.transfer_id, 0)
            else:
                machine.receiver.bytes_received(len(message))
        except ProtocolError:
            return
