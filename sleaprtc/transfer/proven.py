"""Files over a connection whose other end has proved that it belongs to the room."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from ..base.sentences import as_clause
from ..errors import (
    ChannelClosedError,
    ConnectionFailedError,
    NetworkError,
    PeerNotProvenError,
    ProtocolError,
    RoomSecretMissingError,
)
from ..protocol.codec import encode_transfer_frame
from ..protocol.transfer import FileAbort
from ..rtc.channel import DataChannel
from ..rtc.peer import Peer
from ..rtc.proof import NONCE_BYTES, Proof, Role
from ..rtc.secret import RoomSecret
from .sending import DEFAULT_DIGEST_ALGORITHM
from .stream import Transfers, open_transfers

PROOF_TIMEOUT_SEC: Final = 10.0
"""The proof is two messages each way over a channel that is open already."""

FAREWELL_SEC: Final = 2.0
"""For one message and the closing."""

SERVER_IS_TRUSTED: Final = (
    "This room has no secret: whoever runs the signaling server could read and change what is sent. "
    "An invite (`client room create`) keeps them out."
)


async def prove(channel: DataChannel, proof: Proof, *, timeout_sec: float = PROOF_TIMEOUT_SEC) -> None:
    """Carries the proof out over a new channel; nothing else is read from it or written to it.

    Where it fails, the other side is told and the channel is closed.

    Raises:
        RoomSecretMissingError: The other side has no secret for this room.
        PeerNotProvenError: It has another, or isn't who it is taken for.
        ConnectionFailedError: It ends the connection, or says nothing for ``timeout_sec``.
    """
    try:
        with trio.fail_after(timeout_sec):
            await channel.send(encode_transfer_frame(proof.opening))
            while not proof.is_proven:
                answer = proof.message_received(await channel.receive())
                if answer is not None:
                    await channel.send(encode_transfer_frame(answer))
    except (RoomSecretMissingError, PeerNotProvenError) as error:
        await end_unproven(channel, error)
        raise
    except ChannelClosedError as error:
        raise ConnectionFailedError(
            "The connection ended before the other side proved that it knows this room's secret: "
            f"{as_clause(error)}. Where that comes again, it must be started with the room's whole invite "
            "(--invite or SLEAP_RTC_INVITE)."
        ) from error
    except trio.TooSlowError as error:
        raise ConnectionFailedError(
            "The other side doesn't prove that it knows this room's secret. It must be started with the "
            "room's whole invite (--invite or SLEAP_RTC_INVITE)."
        ) from error


async def end_unproven(channel: DataChannel, error: RoomSecretMissingError | PeerNotProvenError) -> None:
    """Tells the other end why there is no proof, and closes the channel."""
    # Shielded: the other side may give the job up at once, which is to hide from nobody why.
    with trio.move_on_after(FAREWELL_SEC, shield=True), suppress(ChannelClosedError):
        await channel.send(encode_transfer_frame(FileAbort("", error.code, str(error))))
        await channel.aclose()


async def prove_membership(peer: Peer, *, role: Role, secret: RoomSecret | None) -> None:
    """Has both ends of a new connection prove that they belong to the room, where it has a secret.

    Raises:
        RoomSecretMissingError: The other end has no secret.
        PeerNotProvenError: It has another, or isn't who it is taken for.
        ConnectionFailedError: It answers nothing.
    """
    if secret is not None:
        proof = Proof(
            secret.key,
            role=role,
            nonce=secrets.token_hex(NONCE_BYTES),
            local_fingerprints=peer.local_fingerprints,
            remote_fingerprints=peer.remote_fingerprints,
        )
        await prove(peer.channel, proof)


@asynccontextmanager
async def open_proven_transfers(
    peer: Peer,
    *,
    role: Role,
    secret: RoomSecret | None,
    digest_algorithm: str = DEFAULT_DIGEST_ALGORITHM,
) -> AsyncIterator[Transfers]:
    """Has both ends prove themselves where there is a secret, then opens the file transfers.

    Raises:
        RoomSecretMissingError: Only one of the two ends has a secret. Where it is this one that has none,
            that is known once the other begins, and leaves the block at its end.
        PeerNotProvenError: The other end has another secret, or isn't who it is taken for.
        ConnectionFailedError: The other end answers nothing.
    """
    await prove_membership(peer, role=role, secret=secret)
    async with open_transfers(peer.channel, digest_algorithm=digest_algorithm) as transfers:
        yield transfers
        with suppress(NetworkError, ProtocolError):
            transfers.check_open()
