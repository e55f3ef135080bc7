"""How fast a data channel is: some bytes there and back, kept by nobody.

An addition of this implementation (protocol reference, section 4, "Rate"). It takes the place of the file
transfers on a connection that was made to be measured, after the proof where there is a secret.
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
"""What a slow path hasn't taken by then isn't sent; what was sent tells the rate as well."""

DOWNLOAD_SEC: Final = 3.0


@attrs.frozen
class Rate:
    """What was measured.

    Attributes:
        upload_mib_per_sec: From the end that asked to the other.
        download_mib_per_sec: The other way.
        upload_bytes: What the upload was measured with.
        download_bytes: The same for the download.
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
        channel: Proven, and used for nothing else.
        size_bytes: How much to send and to ask for, less where the path is slow.
        clock: Seconds.

    Raises:
        ConnectionFailedError: The other end says something else, or nothing.
        RoomSecretMissingError: The other end has a secret for the room and this one hasn't.
        ChannelClosedError: The other end closes the channel.
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
        raise ConnectionFailedError("The other end of the data channel doesn't count as this one does.")
    got_bytes = 0
    with trio.move_on_after(DOWNLOAD_SEC):
        while got_bytes < size_bytes:
            message = await channel.receive()
            if isinstance(message, str):
                raise ConnectionFailedError("The other end of the data channel broke the measurement off.")
            got_bytes += len(message)
    downloaded = clock()
    return Rate(
        _mib_per_sec(sent_bytes, uploaded - started),
        _mib_per_sec(got_bytes, downloaded - uploaded),
        sent_bytes,
        got_bytes,
    )


async def _look_for_a_proof(channel: DataChannel) -> None:
    """Reads what came before the channel was closed: an end that has a secret asks for the proof first."""
    with suppress(ChannelClosedError):
        while True:
            message = await channel.receive()
            if isinstance(message, str):
                _read(message)


async def answer_probe(channel: DataChannel, *, most_bytes: int = RATE_PROBE_BYTES) -> None:
    """Serves the other end of :func:`measure_rate`: counts what comes, keeps nothing, sends as much back.

    Returns when the channel closes.

    Raises:
        ProtocolError: The other end says something else, or sends more than ``most_bytes``.
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
                raise ProtocolError("A measurement sent more than it may.")
        if not isinstance(_read(message), RateProbeEnd):
            raise ProtocolError("A measurement ends in a word of its own.")
        await channel.send(encode_transfer_frame(RateProbeReceived(received_bytes)))
        await _send_zeros(channel, probe.download_bytes)
        await channel.receive()  # until the asker has seen all of it and closes
    except ChannelClosedError:
        return


async def _send_zeros(channel: DataChannel, size_bytes: int, *, time_sec: float = float("inf")) -> int:
    """Sends up to ``size_bytes``, and nothing more once the time is over; returns how much."""
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
        raise ConnectionFailedError("The other end of the data channel sends bytes that nobody asked for.")
    if asks_for_proof(message):
        raise RoomSecretMissingError(
            "The other side has a secret for this room, and this side hasn't: it must be started with the "
            "room's whole invite (--invite or SLEAP_RTC_INVITE)."
        )
    try:
        return decode_rate_frame(message)
    except ProtocolError as error:
        raise ConnectionFailedError("The other end of the data channel knows no measurement.") from error


def _mib_per_sec(size_bytes: int, duration_sec: float) -> float:
    return size_bytes / MIB / max(duration_sec, 1e-6)
