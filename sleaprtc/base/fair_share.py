"""Shares a limited resource, so that no holder can keep the others out."""

from __future__ import annotations

from collections.abc import Hashable

import attrs


@attrs.define(eq=False)
class FairShare:
    """Counts how much of a limited resource each holder has, and decides who may take more.

    A holder may take more while it has less than is still free, so a single holder gets half. Each holder may
    have the amount ``due`` in any case, however much the others have.

    Attributes:
        limit: The total, in any unit, from which on only holders with less than ``due`` may take more.
        due: The amount that each holder may have in any case.
        used: The amount that all holders have together.
    """

    limit: int
    due: int
    used: int = attrs.field(default=0, init=False)
    _held: dict[Hashable, int] = attrs.field(factory=dict, init=False)

    def has_room_for(self, key: Hashable) -> bool:
        """Returns whether a holder may take more."""
        held = self._held.get(key, 0)
        return held < self.due or held < self.limit - self.used

    def add(self, key: Hashable, amount: int = 1) -> None:
        """Adds to the amount that a holder has."""
        self._held[key] = self._held.get(key, 0) + amount
        self.used += amount

    def remove(self, key: Hashable, amount: int = 1) -> None:
        """Subtracts from the amount that a holder has."""
        left = self._held[key] - amount
        self.used -= amount
        if left:
            self._held[key] = left
        else:
            del self._held[key]

    def clear(self) -> None:
        """Resets all counts, once nobody holds anything."""
        self._held.clear()
        self.used = 0
