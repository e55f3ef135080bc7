"""Opens file transfers once both ends have proved that they belong to the room."""

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
from .rate_limit import RateLimit
from .sending import DEFAULT_DIGEST_ALGORITHM
from .stream import Transfers, open_transfers

PROOF_TIMEOUT_SEC: Final = 10.0
"""For two messages each way, over a channel that is open already."""

FAREWELL_SEC: Final = 2.0
"""For one message and for closing the channel."""

SERVER_IS_TRUSTED: Final = (
    "This room has no secret: whoever runs the signaling server could read and change what is sent. "
    "An invite (`client room create`) keeps them out."
)


async def prove(channel: DataChannel, proof: Proof, *, timeout_sec: float = PROOF_TIMEOUT_SEC) -> None:
    """Performs the proof over a new channel; nothing else is read from the channel or sent through it.

    If the proof fails, the other side gets the reason and the channel is closed.

    Raises:
        RoomSecretMissingError: The other side has no secret for this room.
        PeerNotProvenError: The other side has another secret, or isn't the peer that it claims to be.
        ConnectionFailedError: The connection ended, or the proof took longer than ``timeout_sec``.
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
            f"{as_clause(error)}. If that happens again, start the other side with the room's whole invite "
            "(--invite or SLEAP_RTC_INVITE)."
        ) from error
    except trio.TooSlowError as error:
        raise ConnectionFailedError(
            "The other side doesn't prove that it knows this room's secret. It must be started with the "
            "room's whole invite (--invite or SLEAP_RTC_INVITE)."
        ) from error


async def end_unproven(channel: DataChannel, error: RoomSecretMissingError | PeerNotProvenError) -> None:
    """Sends the other end the reason why the proof failed, and closes the channel."""
    # Shielded: a caller that gives up at once must not keep the other end from learning why.
    with trio.move_on_after(FAREWELL_SEC, shield=True), suppress(ChannelClosedError):
        await channel.send(encode_transfer_frame(FileAbort("", error.code, str(error))))
        await channel.aclose()


async def prove_membership(peer: Peer, *, role: Role, secret: RoomSecret | None) -> None:
    """Performs the proof over a new connection if the room has a secret.

    Raises:
        RoomSecretMissingError: The other end has no secret.
        PeerNotProvenError: The other end has another secret, or isn't the peer that it claims to be.
        ConnectionFailedError: The connection ended, or the proof took too long.
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
    limit: RateLimit | None = None,
) -> AsyncIterator[Transfers]:
    """Performs the proof if the room has a secret, then opens the file transfers.

    Raises:
        RoomSecretMissingError: Only one of the two ends has a secret. If it is the other end, this is raised
            when the block ends, since only the other end's proof shows it.
        PeerNotProvenError: The other end has another secret, or isn't the peer that it claims to be.
        ConnectionFailedError: The connection ended, or the proof took too long.
    """
    await prove_membership(peer, role=role, secret=secret)
    async with open_transfers(peer.channel, digest_algorithm=digest_algorithm, limit=limit) as transfers:
        yield transfers
        with suppress(NetworkError, ProtocolError):
            transfers.check_open()
