"""Limits how long slots are held for clients that prove nothing: a few seconds in any minute.

Time is an argument, in seconds on any clock that only moves forward.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..protocol.limits import UNPROVEN_HOLD_SEC, UNPROVEN_HOLD_WINDOW_SEC

LEAST_HOLD_SEC: Final = 1.0
"""A shorter hold ends before an assignment can follow it."""

MAX_HOLDS: Final = 64
"""Holds remembered for one account; an account that makes more in a minute gets none for a while."""

MAX_ACCOUNTS: Final = 256
"""A new name costs nothing, so beyond this many in a minute, further ones get no holds."""


@attrs.define
class Hold:
    """A slot held, in seconds of the clock; ``end`` is when it ends unless it is ended or renewed before."""

    start: float
    end: float


class HoldBudget:
    """Granted holds, by the account that they are charged to.

    In any window of a minute, the holds of one account make at most ``hold_sec`` together, those of several
    slots added up. A hold is charged as granted while it lasts, and as used once it has ended.

    Args:
        hold_sec: What an account has in any window.
        window_sec: The window's length.
    """

    def __init__(
        self, hold_sec: float = UNPROVEN_HOLD_SEC, window_sec: float = UNPROVEN_HOLD_WINDOW_SEC
    ) -> None:
        self._hold_sec = hold_sec
        self._window_sec = window_sec
        self._accounts: dict[str, list[Hold]] = {}

    def grant(self, account: str, most_sec: float, now: float) -> Hold | None:
        """Begins a hold that lasts as long as the budget allows; None if that is too short to be useful."""
        self._forget(now)
        holds = self._accounts.get(account, [])
        left_sec = self._hold_sec - sum(hold.end - hold.start for hold in holds)
        if left_sec < LEAST_HOLD_SEC or len(holds) >= MAX_HOLDS:
            return None
        if account not in self._accounts and len(self._accounts) >= MAX_ACCOUNTS:
            return None
        hold = Hold(now, now + min(most_sec, left_sec))
        self._accounts.setdefault(account, holds).append(hold)
        return hold

    def renew(self, account: str, hold: Hold, most_sec: float, now: float) -> None:
        """Extends a current hold from now on, as long as the budget allows."""
        self._forget(now)
        others_sec = sum(other.end - other.start for other in self._accounts[account] if other is not hold)
        end = min(now + most_sec, hold.start + self._hold_sec - others_sec)
        hold.end = max(hold.end, end)

    def end(self, account: str, hold: Hold, now: float) -> None:
        """Ends a hold early. Only the time it used stays charged."""
        hold.end = max(hold.start, min(hold.end, now))

    def _forget(self, now: float) -> None:
        """Drops holds that ended more than a window ago."""
        since = now - self._window_sec
        for account, holds in list(self._accounts.items()):
            holds[:] = [hold for hold in holds if hold.end > since and hold.end > hold.start]
            if not holds:
                del self._accounts[account]
