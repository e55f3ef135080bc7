"""The hub: the only owner of the server's rooms and peers."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import attrs
import trio

from ..base.logs import bind, get_logger
from ..base.nurseries import contained, keep_running
from ..errors import (
    DeliveryFailedError,
    InvalidJSONError,
    InvalidMessageError,
    RateLimitedError,
    RoomNotFoundError,
    SleapRTCError,
)
from ..identity.verifier import TokenVerifier
from ..protocol.close_codes import CloseCode
from ..protocol.codec import decode_client_message, decode_json_object
from ..protocol.limits import ENDED_ROOM_MEMORY_SEC, ROOM_ID_CHARS, ROOM_TOKEN_CHARS
from ..protocol.messages import Register
from ..protocol.vocabulary import RoomEnd
from ..rooms.effects import Deliver, Effect
from ..rooms.refusals import encode_error, refuse_registration
from ..rooms.registry import Registry
from ..rooms.room import Room
from ..rooms.routing import answer
from ..storage.base import RoomStorage, StoredRoom
from .admission import Applicant, GuessLimits
from .batch import WriteBatch
from .outbox import OutboxBudget
from .peer_log import PeerLog
from .settings import ServerSettings

logger = get_logger(__name__)

DRAIN_GRACE_SEC: Final = 2.5
"""How long the server waits for all peers to read that it is shutting down."""

HOUSEKEEPING_INTERVAL_SEC: Final = 60 * 60.0

_UNAMBIGUOUS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""No l, o, 0 or 1: ids and tokens are read aloud and typed."""

_DELIVERY_FAILED: Final = encode_error(DeliveryFailedError("The target's connection can't take the message."))


class Connection(Hashable, Protocol):
    """What the hub needs of a WebSocket connection. Only :meth:`read` waits."""

    @property
    def address(self) -> str:
        """The peer's IP address; empty if it isn't known."""

    def deliver(self, text: str, sender: Hashable | None = None) -> bool:
        """Queues a message from another peer, or from the server if ``sender`` is None.

        Returns:
            False if the message can't be queued.
        """

    def close(self, code: CloseCode, reason: str) -> None:
        """Starts to close the connection, once everything that is queued has been sent."""

    async def read(self) -> None:
        """Hands the peer's messages to the hub until the connection ends; raises nothing."""


@attrs.frozen
class Metrics:
    """Current counts, and totals since the server's start."""

    active_rooms: int
    active_connections: int
    peers_by_role: dict[str, int]
    total_connections: int
    total_messages: int
    rooms_created: int


@attrs.frozen
class _OpenRoom:
    """A room's nursery, which has the readers of its peers, and the scope that ends them with the room."""

    scope: trio.CancelScope
    nursery: trio.Nursery


class Hub:
    """Changes the registry and carries out what it decides. Made by :func:`open_hub`.

    Attributes:
        draining: True once the server is shutting down; it accepts no new peers then.
        batch: The batch in which all connections write.
        outbox_budget: The limit of what may wait for all connections together.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        storage: RoomStorage,
        verifier: TokenVerifier,
        settings: ServerSettings,
        wall_clock: Callable[[], float],
    ) -> None:
        self.draining = False
        self._guess_limits = GuessLimits(settings)
        self.batch = WriteBatch()
        self.outbox_budget = OutboxBudget(settings.outboxes_bytes, settings.outbox_share_bytes)
        self._nursery = nursery
        self._storage = storage
        self._verifier = verifier
        self._settings = settings
        self._wall_clock = wall_clock
        self._registry: Registry[Connection] = Registry(
            ice_servers=settings.ice_servers, max_peers_per_room=settings.max_peers_per_room
        )
        self._open_rooms: dict[str, _OpenRoom] = {}
        self._connections: set[Connection] = set()
        self._rooms_in_the_making: Counter[str] = Counter()
        self._peer_log = PeerLog()
        self._all_gone = trio.Event()
        self._connection_count = 0
        self._message_count = 0
        self._created_count = 0

    # --- rooms ------------------------------------------------------------------------------

    async def create_room(self, account: str) -> Room[Connection]:
        """Creates a room that lives for the configured time.

        Raises:
            RateLimitedError: The account already has the maximum number of rooms.
            StorageError: The room couldn't be stored.
        """
        self._check_room_count(account)
        room: Room[Connection] = Room(
            room_id=self._new_room_id(),
            token=_random_text(ROOM_TOKEN_CHARS),
            creator=account,
            expires_at=self._wall_clock() + self._settings.room_ttl_sec,
            deadline=trio.current_time() + self._settings.room_ttl_sec,
        )
        self._rooms_in_the_making[account] += 1
        try:
            await self._storage.add_room(StoredRoom(room.room_id, room.token, room.creator, room.expires_at))
            await self._nursery.start(self._run_room, room)
        finally:
            self._rooms_in_the_making[account] -= 1
            if not self._rooms_in_the_making[account]:
                del self._rooms_in_the_making[account]
        self._created_count += 1
        logger.info("A room was made.", room=room.room_id)
        return room

    async def renew_room(self, account: str, room_id: str) -> float:
        """Extends a room's life to its full time, counted from now.

        Returns:
            The room's new end, in epoch seconds.

        Raises:
            RoomNotFoundError: There is no such room.
            ForbiddenError: Another account created it.
            StorageError: The new end couldn't be stored, and holds only until the server restarts.
        """
        room = self._registry.owned_room(room_id, account, trio.current_time())
        # In memory first: the room could reach its old end while the storage writes.
        room.expires_at = self._wall_clock() + self._settings.room_ttl_sec
        room.deadline = trio.current_time() + self._settings.room_ttl_sec
        self._open_rooms[room_id].scope.deadline = room.deadline
        await self._storage.set_expiry(room_id, room.expires_at)
        return room.expires_at

    async def delete_room(self, account: str, room_id: str) -> None:
        """Deletes a room; its peers are told and disconnected.

        Raises:
            RoomNotFoundError: There is no such room.
            ForbiddenError: Another account created it.
            StorageError: The room couldn't be deleted.
        """
        self._registry.owned_room(room_id, account, trio.current_time())
        await self._storage.mark_deleted(room_id)
        self._perform(self._registry.end_room(room_id, RoomEnd.DELETED))
        if room_id in self._open_rooms:
            self._open_rooms[room_id].scope.cancel()

    async def delete_peer(self, account: str, peer_id: str) -> None:
        """Deletes the room of a peer if the account created it; otherwise removes the account's own peer.

        Raises:
            RoomNotFoundError: No room has a peer of that name.
            ForbiddenError: Neither the peer nor its room belongs to the account.
            StorageError: The room couldn't be deleted.
        """
        peers = self._registry.peers_called(peer_id)
        if not peers:
            raise RoomNotFoundError("No room has a peer of this name.")
        created = [peer.room.room_id for peer in peers if peer.room.creator == account]
        for room_id in created:
            await self.delete_room(account, room_id)
        own = [peer for peer in peers if peer.account == account and not peer.room.ended]
        for peer in own:
            self._perform(self._registry.remove(peer))
        if not created and not own:
            # Raises the same error as for the room itself.
            self._registry.owned_room(peers[0].room.room_id, account, trio.current_time())

    # --- connections ------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        """Adds a new connection."""
        self._connections.add(connection)
        self._connection_count += 1

    def disconnected(self, connection: Connection) -> None:
        """Removes a connection and the peer that is registered on it."""
        if self._registry.is_registered(connection):
            self._peer_log.info("A peer has left.", connection.address, trio.current_time())
        self._registry.leave(connection)
        self._connections.discard(connection)
        if not self._connections and self.draining:
            self._all_gone.set()

    def is_registered(self, connection: Connection) -> bool:
        """Returns whether a peer is registered on a connection."""
        return self._registry.is_registered(connection)

    def receive(self, connection: Connection, text: str, now: float) -> None:
        """Handles one message. An error of this package is reported to the sender, not raised.

        Args:
            connection: The connection from which the message came.
            text: The message.
            now: The time in seconds, on Trio's clock.
        """
        self._message_count += 1
        try:
            message = decode_client_message(text)
            if isinstance(message, Register) and not self._registry.is_registered(connection):
                self._register(connection, message)
                return
            sender = self._registry.peer_on(connection)
            effect = answer(sender, message, text, now=now)
        except SleapRTCError as error:
            self._refuse(connection, error, text)
        else:
            self._perform((effect,))

    async def drain(self) -> None:
        """Closes every connection with 1001, and gives peers ``DRAIN_GRACE_SEC`` to read that."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.close(CloseCode.GOING_AWAY, "The server is shutting down.")
        if self._connections:
            with trio.move_on_after(DRAIN_GRACE_SEC):
                await self._all_gone.wait()

    def metrics(self) -> Metrics:
        """Returns the current metrics."""
        return Metrics(
            active_rooms=len(self._registry.rooms),
            active_connections=len(self._connections),
            peers_by_role=dict(Counter(peer.role for peer in self._registry.peers)),
            total_connections=self._connection_count,
            total_messages=self._message_count,
            rooms_created=self._created_count,
        )

    # --- inside -----------------------------------------------------------------------------

    def _check_room_count(self, account: str) -> None:
        count = sum(1 for _ in self._registry.rooms_of(account)) + self._rooms_in_the_making[account]
        if count >= self._settings.max_rooms_per_account:
            raise RateLimitedError("This account has as many rooms as it may have.")

    def _register(self, connection: Connection, request: Register) -> None:
        identity = self._verifier.verify(request.id_token, now=self._wall_clock())
        applicant = Applicant(identity.subject, connection.address, request.room_id)
        now = trio.current_time()
        self._guess_limits.check(applicant, now)
        try:
            effects = self._registry.register(
                connection,
                request,
                account=identity.subject,
                resume_token=secrets.token_urlsafe(16),
                now=now,
                connected_at=self._wall_clock(),
            )
        except RoomNotFoundError:
            self._guess_limits.note_wrong_token(applicant, now)
            raise
        bind(peer=request.peer_id, room=request.room_id)
        self._peer_log.info("A peer has joined.", connection.address, now, role=request.role)
        self._perform(effects)
        self._open_rooms[request.room_id].nursery.start_soon(connection.read)

    def _refuse(self, connection: Connection, error: SleapRTCError, text: str) -> None:
        if _is_register(text, error):
            now = trio.current_time()
            self._peer_log.info("A registration was refused.", connection.address, now, code=error.code)
            self._perform(refuse_registration(connection, error))
        else:
            connection.deliver(encode_error(error))

    def _perform(self, effects: Iterable[Effect[Connection]]) -> None:
        for effect in effects:
            if not isinstance(effect, Deliver):
                effect.connection.close(effect.code, effect.reason)
            elif not effect.connection.deliver(effect.text, effect.sender) and effect.sender is not None:
                effect.sender.deliver(_DELIVERY_FAILED)

    def _new_room_id(self) -> str:
        while self._registry.knows(room_id := _random_text(ROOM_ID_CHARS)):
            pass
        return room_id

    async def _run_room(self, room: Room[Connection], *, task_status: trio.TaskStatus[None]) -> None:
        """Runs a room until it ends: its readers live in the nursery, and none of them outlives the scope.

        A reader's failure ends its connection (:meth:`Connection.read`). Any other failure ends this room.
        """
        with contained("A room failed.") as containment, trio.CancelScope(deadline=room.deadline) as scope:
            async with trio.open_nursery() as nursery:
                self._registry.add_room(room)
                self._open_rooms[room.room_id] = _OpenRoom(scope, nursery)
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    if trio.current_time() >= room.deadline:
                        self._perform(self._registry.end_room(room.room_id, RoomEnd.EXPIRED))
        self._open_rooms.pop(room.room_id, None)  # missing if the room failed at once
        if containment.failure is not None and not room.ended:
            self._perform(self._registry.end_room(room.room_id, RoomEnd.EXPIRED))

    async def _load_rooms(self) -> None:
        await self._storage.forget_rooms_expired_before(self._wall_clock() - ENDED_ROOM_MEMORY_SEC)
        for stored in await self._storage.load_rooms():
            remaining_sec = stored.expires_at - self._wall_clock()
            room: Room[Connection] = Room(
                room_id=stored.room_id,
                token=stored.token,
                creator=stored.creator,
                expires_at=stored.expires_at,
                deadline=trio.current_time() + remaining_sec,
                ended=stored.deleted or remaining_sec <= 0,
            )
            if room.ended:
                self._registry.add_room(room)
            else:
                await self._nursery.start(self._run_room, room)

    async def _keep_house(self) -> None:
        while True:
            await trio.sleep(HOUSEKEEPING_INTERVAL_SEC)
            self._registry.forget_rooms_ended_before(trio.current_time() - ENDED_ROOM_MEMORY_SEC)
            try:
                await self._storage.forget_rooms_expired_before(self._wall_clock() - ENDED_ROOM_MEMORY_SEC)
            except SleapRTCError as error:
                logger.warning("Old rooms couldn't be dropped.", error=str(error))


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_UNAMBIGUOUS) for _ in range(length))


def _is_register(text: str, error: SleapRTCError) -> bool:
    """Returns whether a refused message was a registration, even one with invalid fields."""
    if error.code == InvalidJSONError.code:
        return False
    try:
        return decode_json_object(text).get("type") == Register.type
    except InvalidMessageError:
        return False


@asynccontextmanager
async def open_hub(
    *,
    storage: RoomStorage,
    verifier: TokenVerifier,
    settings: ServerSettings,
    wall_clock: Callable[[], float] = time.time,
) -> AsyncIterator[Hub]:
    """Opens the hub with the stored rooms, and ends them without notice when the block is left.

    Args:
        storage: Stores the rooms.
        verifier: Verifies id tokens.
        settings: The server's settings.
        wall_clock: Returns the time in epoch seconds, for times on the wire. Rooms end by Trio's clock,
            however this one changes.

    Raises:
        StorageError: On entering: the rooms couldn't be loaded. The block's own exceptions are raised in a
            group, as from any nursery.
    """
    async with trio.open_nursery() as nursery:  # of rooms, see Hub._run_room
        hub = Hub(nursery, storage=storage, verifier=verifier, settings=settings, wall_clock=wall_clock)
        await hub._load_rooms()
        nursery.start_soon(keep_running, "Old rooms can't be dropped.", hub._keep_house)
        yield hub
        nursery.cancel_scope.cancel()
