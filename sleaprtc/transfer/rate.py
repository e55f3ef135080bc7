"""Measures the rate of a data channel in both directions, with bytes that are dropped on arrival.

An addition of this implementation (protocol reference, section 4, "Rate"). On a connection made for the
purpose, it takes the place of file transfers, after the proof if the room has a secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs
import trio

from ..errors import ChannelClosedError, ConnectionFailedError, ProtocolError, RoomSecretMissingError
from ..protocol.codec import decode_rate_frame, encode_transfer_frame
from ..protocol.limits import MIB, RATE_PROBE_BYTES
from ..protocol.transfer import RateProbe, RateProbeEnd, RateProbeReceived
from ..rtc.channel import DataChannel
from ..rtc.proof import asks_for_proof

UPLOAD_SEC: Final = 3.0
"""The upload stops after this time, however much has been sent by then."""

DOWNLOAD_SEC: Final = 3.0
"""The download stops after this time, however much has arrived by then."""


@attrs.frozen
class Rate:
    """The result of a measurement.

    Attributes:
        upload_mib_per_sec: The rate from the measuring end to the other.
        download_mib_per_sec: The rate in the other direction.
        upload_bytes: How many bytes the upload was measured with.
        download_bytes: How many bytes the download was measured with.
    """

    upload_mib_per_sec: float
    download_mib_per_sec: float
    upload_bytes: int
    download_bytes: int


async def measure_rate(
    channel: DataChannel,
    *,
    size_bytes: int = RATE_PROBE_BYTES,
    clock: Callable[[], float] = time.perf_counter,
) -> Rate:
    """Measures a channel whose other end runs :func:`answer_probe`.

    Args:
        channel: A channel that is used for nothing else, after the proof.
        size_bytes: How much to send and to request. On a slow path less is sent.
        clock: Returns the time in seconds.

    Raises:
        ConnectionFailedError: The other end sent something else, or a wrong count.
        RoomSecretMissingError: The other end has a secret for the room and this one hasn't.
        ChannelClosedError: The other end closed the channel.
    """
    try:
        return await _measure(channel, size_bytes, clock)
    except ChannelClosedError:
        await _look_for_a_proof(channel)
        raise


async def _measure(channel: DataChannel, size_bytes: int, clock: Callable[[], float]) -> Rate:
    await channel.send(encode_transfer_frame(RateProbe(download_bytes=size_bytes)))
    started = clock()
    sent_bytes = await _send_zeros(channel, size_bytes, time_sec=UPLOAD_SEC)
    await channel.send(encode_transfer_frame(RateProbeEnd()))
    received = _read(await channel.receive())
    uploaded = clock()
    if not isinstance(received, RateProbeReceived) or received.received_bytes != sent_bytes:
        raise ConnectionFailedError("The other end of the data channel didn't confirm the bytes sent to it.")
    got_bytes = 0
    with trio.move_on_after(DOWNLOAD_SEC):
        while got_bytes < size_bytes:
            message = await channel.receive()
            if isinstance(message, str):
                raise ConnectionFailedError("The other end of the data channel broke off the measurement.")
            got_bytes += len(message)
    downloaded = clock()
    return Rate(
        _mib_per_sec(sent_bytes, uploaded - started),
        _mib_per_sec(got_bytes, downloaded - uploaded),
        sent_bytes,
        got_bytes,
    )


async def _look_for_a_proof(channel: DataChannel) -> None:
    """Looks for a proof in what arrived before the channel was closed.

    Raises:
        RoomSecretMissingError: The other end asked for the proof, so it has a secret.
        ConnectionFailedError: The other end sent something else.
    """
    with suppress(ChannelClosedError):
        while True:
            message = await channel.receive()
            if isinstance(message, str):
                _read(message)


async def answer_probe(channel: DataChannel, *, most_bytes: int = RATE_PROBE_BYTES) -> None:
    """Serves the other end of :func:`measure_rate`: counts the bytes it gets, then sends those requested.

    Returns when the channel closes.

    Raises:
        ProtocolError: The other end broke the protocol, or sent more than ``most_bytes``.
        ConnectionFailedError: The other end sent no rate frame.
        RoomSecretMissingError: The other end has a secret for the room and this one hasn't.
    """
    try:
        probe = _read(await channel.receive())
        if not isinstance(probe, RateProbe) or not 0 <= probe.download_bytes <= most_bytes:
            raise ProtocolError("A measurement begins with what it asks for, in its bounds.")
        received_bytes = 0
        while isinstance(message := await channel.receive(), bytes):
            received_bytes += len(message)
            if received_bytes > most_bytes:
                raise ProtocolError(f"A measurement sent more than {most_bytes} bytes.")
        if not isinstance(_read(message), RateProbeEnd):
            raise ProtocolError("A measurement didn't end with rate_probe_end.")
        await channel.send(encode_transfer_frame(RateProbeReceived(received_bytes)))
        await _send_zeros(channel, probe.download_bytes)
        await channel.receive()  # until the measuring end has received everything and closes
    except ChannelClosedError:
        return


async def _send_zeros(channel: DataChannel, size_bytes: int, *, time_sec: float = float("inf")) -> int:
    """Sends up to ``size_bytes``, and stops after ``time_sec``; returns how many bytes were sent."""
    block = bytes(channel.message_bytes)
    deadline = trio.current_time() + time_sec
    sent_bytes = 0
    while sent_bytes < size_bytes and trio.current_time() < deadline:
        part = block[: size_bytes - sent_bytes]
        await channel.send(part)
        sent_bytes += len(part)
    return sent_bytes


def _read(message: str | bytes) -> RateProbe | RateProbeEnd | RateProbeReceived:
    if isinstance(message, bytes):
        raise ConnectionFailedError("The other end of the data channel sent bytes without being asked.")
    if asks_for_proof(message):
        raise RoomSecretMissingError(
            "The other side has a secret for this room, and this side hasn't: it must be started with the "
            "room's whole invite (--invite or SLEAP_RTC_INVITE)."
        )
    try:
        return decode_rate_frame(message)
    except ProtocolError as error:
        raise ConnectionFailedError("The other end of the data channel doesn't support measuring.") from error


def _mib_per_sec(size_bytes: int, duration_sec: float) -> float:
    return size_bytes / MIB / max(duration_sec, 1e-6)
