"""Places that several fill without keeping each other out."""

from __future__ import annotations

from collections.abc import Hashable

import attrs


@attrs.define(eq=False)
class FairShare:
    """Counts who holds how much of what there is.

    Each may hold as much as is still free: one alone gets half. What is due to everybody each gets in any
    case, however many others want everything.

    Attributes:
        limit: What all may hold together beyond that, in any unit.
        due: What each may hold in any case.
        used: What they hold.
    """

    limit: int
    due: int
    used: int = attrs.field(default=0, init=False)
    _held: dict[Hashable, int] = attrs.field(factory=dict, init=False)

    def has_room_for(self, key: Hashable) -> bool:
        """Says whether somebody may hold more."""
        held = self._held.get(key, 0)
        return held < self.due or held < self.limit - self.used

    def add(self, key: Hashable, amount: int = 1) -> None:
        """Counts what somebody holds from now on."""
        self._held[key] = self._held.get(key, 0) + amount
        self.used += amount

    def remove(self, key: Hashable, amount: int = 1) -> None:
        """Counts what somebody no longer holds."""
        left = self._held[key] - amount
        self.used -= amount
        if left:
            self._held[key] = left
        else:
            del self._held[key]

    def clear(self) -> None:
        """Forgets everything, as nobody holds anything any more."""
        self._held.clear()
        self.used = 0
