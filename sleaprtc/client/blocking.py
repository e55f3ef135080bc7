"""Runs async calls as blocking ones, for scripts and notebooks.

A notebook's own asyncio loop runs in the main thread, so the call runs in another one, and an interrupt
cancels it there.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

import outcome
import trio

from ..base.awake_clock import AwakeClock
from ..base.exception_groups import single_error
from ..errors import SleapRTCError

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self.result: outcome.Outcome[T | None] | None = None

    async def _main(self) -> T | None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope, single_error():
            return await self._work()
        return None

    def run(self) -> None:
        self.result = outcome.capture(self._run_trio)

    def _run_trio(self) -> T | None:
        return trio.run(self._main, clock=AwakeClock())

    def cancel(self) -> None:
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._scope.cancel)
            except trio.RunFinishedError:
                return


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Runs ``work`` and returns or raises what it does.

    An error of this package is raised without the traceback of its way here: it is a sentence for whoever
    called, and not a programming error.

    A KeyboardInterrupt, such as a notebook's stop button, cancels ``work``, waits for it to clean up, and
    is then raised.
    """
    call = _Call(work)
    thread = threading.Thread(target=call.run, name="sleap-rtc")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        call.cancel()
        thread.join()
        raise
    assert call.result is not None
    if isinstance(call.result, outcome.Error) and isinstance(call.result.error, SleapRTCError):
        raise call.result.error.with_traceback(None) from None
    return cast(T, call.result.unwrap())
