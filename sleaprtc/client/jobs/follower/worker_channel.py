"""The data channel to a job's worker, made again whenever it is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from ....access.place import ConnectionOptions
from ....base.awake_clock import wait_standstill
from ....base.exception_groups import single_error
from ....base.nurseries import contained, wait_for_any
from ....base.sentences import as_sentence
from ....errors import (
    ConnectionFailedError,
    NetworkError,
    RefusedError,
    SignalingLostError,
    SleapRTCError,
    WorkerLostError,
    WorkerUnreachableError,
)
from ....jobs.properties import WORKER_ROLE
from ....rtc.no_path import NoAnswerError
from ....rtc.peer import open_peer
from ....rtc.proof import Role
from ....signaling.link import Link, backoff_delays
from ....transfer.proven import SERVER_IS_TRUSTED, open_proven_transfers
from ....transfer.resuming import ResumingTransfers
from ...events.job import Connected, Emit, Notice
from ...inbox import Inbox

NOTICE_DELAY_SEC: Final = 1.0
"""A worker that ends a job closes its channel, and its last word may still be on its way."""

RECONNECT_SEC: Final = 180.0
"""How long to try to make a lost data channel again before the work has begun; as long as a worker waits for
its client. Once it has begun, there is no limit: the worker can be asked without a channel, and whether it is
lost is decided in :mod:`.watch`."""

CONSENT_SEC: Final = 15.0
"""After a longer standstill of this process, its channel is replaced: the other side may have given it up, or
be about to (RFC 7675, section 5.1: after 30 seconds without an answer), and would notice too late."""


class WorkerChannel:
    """Connects to one worker for one job.

    Args:
        link: The client's place in the room.
        inbox: What arrives in it.
        worker_id: The worker.
        connection: How to connect.
        digest_algorithm: The digest for the files that are sent.
        emit: Called with each event.

    Attributes:
        transfers: The files that go over these connections.
        was_connected: Whether there ever was a connection.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        worker_id: str,
        connection: ConnectionOptions,
        digest_algorithm: str,
        emit: Emit,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._worker_id = worker_id
        self._connection = connection
        self._digest_algorithm = digest_algorithm
        self._emit = emit
        self.transfers = ResumingTransfers()
        self.was_connected = False
        self._has_opened = False  # the latest attempt, or the connection that it came to

    async def keep_connected(
        self,
        *,
        is_over: Callable[[], bool],
        has_begun: Callable[[], bool],
        has_result: Callable[[], bool],
        waits_for_answer: bool,
        on_loss: Callable[[], Awaitable[None]],
    ) -> None:
        """Connects, and connects again when the connection is lost.

        Args:
            is_over: Whether the job is over, so that no connection is needed any more.
            has_begun: Whether the work has begun, so that it continues without a connection.
            has_result: Whether part of the result is here, so that a refusal no longer matters.
            waits_for_answer: Whether a worker that doesn't answer the first offer gets further ones.
            on_loss: Called when a connection was lost and the worker hasn't sent a reason.

        Raises:
            WorkerLostError: The connection was lost, and can't be made again in time before the work begins.
            WorkerUnreachableError: No connection could be made at all.
            RefusedError: The worker doesn't prove that it knows the room's secret, or asks for one.
        """
        delays = iter(backoff_delays())
        lost_at: float | None = None
        while True:
            try:
                with single_error(), contained("The connection failed.", let_through=(SleapRTCError,)) as way:
                    was_open = await self._connect_once()
                if way.failure is not None:
                    if not self._has_opened:
                        raise ConnectionFailedError("it failed unexpectedly.")
                    was_open = True
                if is_over():
                    return
                if not was_open:
                    continue
                lost_at = trio.current_time()
                delays = iter(backoff_delays())
                await trio.sleep(NOTICE_DELAY_SEC)
                self._emit(Notice(f"The data channel to {self._worker_id} was lost; making a new one."))
                await on_loss()
            except NetworkError as error:
                if self._gives_up(error, lost_at, is_begun=has_begun(), waits_for_answer=waits_for_answer):
                    kind = WorkerLostError if self.was_connected else WorkerUnreachableError
                    raise kind(f"No connection to {self._worker_id}: {as_sentence(error)}") from error
            except RefusedError:
                if not has_result():
                    raise
                return  # the room is gone, but the model is here
            await trio.sleep(next(delays))

    def _gives_up(
        self, error: NetworkError, lost_at: float | None, *, is_begun: bool, waits_for_answer: bool
    ) -> bool:
        """Whether an attempt that came to nothing was the last one."""
        if isinstance(error, SignalingLostError) or not self._link.is_connected:
            return False  # it is the server that is away
        if lost_at is None:
            return not (waits_for_answer and isinstance(error, NoAnswerError))
        return trio.current_time() - lost_at > RECONNECT_SEC and not is_begun

    async def _connect_once(self) -> bool:
        """Stays connected until the channel closes; raises only if there was no connection.

        Returns:
            False if the attempt has to be repeated, because its offer may have been lost while the server was
            away, or while this process stood still.
        """
        attempt, opening = trio.CancelScope(), trio.CancelScope()

        async def begin_again() -> None:
            with opening:
                await wait_for_any(self._link.wait_return, self._wait_outdated)
                attempt.cancel()

        with single_error():
            async with trio.open_nursery() as nursery:  # a failure costs this connection
                nursery.start_soon(begin_again)
                with attempt:
                    await self._connect(opening.cancel)
                opening.cancel()
        return not attempt.cancelled_caught

    async def _connect(self, on_open: Callable[[], None]) -> None:
        self._has_opened = False
        try:
            with self._inbox.signals_from(self._worker_id) as signals:
                async with (
                    open_peer(
                        local_id=self._link.peer_id,
                        remote_id=self._worker_id,
                        initiator=True,
                        send=self._link.send,
                        incoming=signals,
                        ice=await self._connection.ice_settings(self._link.ice_servers),
                        engine=self._connection.engine,
                    ) as peer,
                    open_proven_transfers(
                        peer,
                        role=Role.CLIENT,
                        secret=self._connection.secret,
                        digest_algorithm=self._digest_algorithm,
                        limit=self._connection.limit,
                    ) as transfers,
                ):
                    if self._connection.secret is None and not self.was_connected:
                        self._emit(Notice(SERVER_IS_TRUSTED))
                    self._has_opened = self.was_connected = True
                    on_open()
                    path = None if peer.path is None else peer.path.kind
                    self._emit(Connected(self._worker_id, path, peer.engine))
                    await wait_for_any(
                        partial(self.transfers.use_until_closed, transfers), self._wait_outdated
                    )
        except NetworkError:
            if not self._has_opened:
                raise

    async def _wait_outdated(self) -> None:
        """Waits until this process has stood still for so long that what it had with the worker is outdated.

        Its connection to the server is checked first, and replaced if need be: an offer needs it.
        """
        await wait_standstill(CONSENT_SEC)
        with suppress(SleapRTCError):
            await self._link.discover({"role": WORKER_ROLE})
