"""Decides which connections are kept if a port has too many; no I/O.

A port has a number of places, one for each connection. A connection is idle until its peer has registered; an
HTTP connection is always idle. If a new connection needs a place, an idle one is ended: of the address that
has the most idle ones, the one that did nothing useful for the longest time. An address that opens many
connections thus ends its own. Registered peers are settled and keep their places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs

from .admission import site_of


@attrs.define(eq=False)
class Place:
    """One connection's place at a port.

    Attributes:
        site: The address or network that the connection counts for (:func:`~.admission.site_of`).
        is_welcome: False if its address already has its maximum of connections. It is idle then, too.
    """

    _capacity: Capacity
    _end: Callable[[], None]
    site: str
    is_welcome: bool
    _is_settled: bool = attrs.field(default=False, init=False)
    _is_left: bool = attrs.field(default=False, init=False)

    def stir(self) -> None:
        """Notes that the other side did something useful: this is the newest idle connection again."""
        if not self._is_left and not self._is_settled:
            self._capacity.idle.remove(self)
            self._capacity.idle.add(self)

    def settle(self) -> None:
        """Keeps the place for as long as the connection lasts."""
        if not self._is_left and not self._is_settled:
            self._is_settled = True
            self._capacity.idle.remove(self)

    def move_to(self, address: str) -> bool:
        """Counts the connection for another address, which a proxy has named.

        Returns:
            Whether it is welcome: False if that address already has its maximum of connections.
        """
        if self._is_left:
            return False
        self._capacity.forget(self, self.site)
        self.is_welcome = self._capacity.has_room_for(site_of(address))
        self.site = site_of(address)
        self._capacity.note(self)
        return self.is_welcome

    def leave(self) -> None:
        """Gives the place back; does nothing the second time."""
        if not self._is_left:
            self._is_left = True
            self._capacity.forget(self, self.site, was_settled=self._is_settled)

    def end(self) -> None:
        """Gives the place back and ends the connection."""
        self.leave()
        self._end()


@attrs.define(eq=False)
class Capacity:
    """The places of one port.

    Attributes:
        max_connections: The number of places.
        max_per_address: How many of them one address or network may have (:func:`~.admission.site_of`).
        ended: How many idle connections were ended since the start.
    """

    max_connections: int
    max_per_address: int
    idle: _IdlePlaces = attrs.field(factory=lambda: _IdlePlaces(), init=False)
    ended: int = attrs.field(default=0, init=False)
    _count: int = attrs.field(default=0, init=False)
    _by_site: Counter[str] = attrs.field(factory=Counter, init=False)

    def take_place(self, address: str, end: Callable[[], None], *, is_proxy: bool = False) -> Place | None:
        """Takes a place for a new connection, and ends an idle one for it if needed.

        Args:
            address: The address that the connection comes from.
            end: Ends the connection at once.
            is_proxy: Whether the address is a proxy's, which has connections for many clients.

        Returns:
            The place; None if all places are taken and no connection is idle.
        """
        site = f"by way of {address}" if is_proxy else site_of(address)
        is_welcome = is_proxy or self.has_room_for(site)
        if self._count >= self.max_connections and not self.end_oldest_idle():
            return None
        place = Place(self, end, site, is_welcome)
        self.note(place)
        return place

    def end_oldest_idle(self) -> bool:
        """Ends the oldest idle connection of the address that has the most; returns False if none is idle."""
        place = self.idle.oldest()
        if place is not None:
            self.ended += 1
            place.end()
        return place is not None

    # --- for places -------------------------------------------------------------------------

    def has_room_for(self, site: str) -> bool:
        """Returns whether a site may have one more connection; ends its oldest idle one if that helps."""
        if self._by_site[site] < self.max_per_address:
            return True
        place = self.idle.oldest_of(site)
        if place is None or self._by_site[site] - self.idle.count_of(site) >= self.max_per_address:
            return False
        self.ended += 1
        place.end()
        return True

    def note(self, place: Place) -> None:
        """Adds a place to the counts, as an idle one."""
        self._count += 1
        self._by_site[place.site] += 1
        self.idle.add(place)

    def forget(self, place: Place, site: str, *, was_settled: bool = False) -> None:
        """Removes a place from the counts."""
        self._count -= 1
        self._by_site[site] -= 1
        if not self._by_site[site]:
            del self._by_site[site]
        if not was_settled:
            self.idle.remove(place)


@attrs.define(eq=False)
class _IdlePlaces:
    """Idle places by site, least recently active first, and sites by how many idle places they have."""

    _places: dict[str, dict[Place, None]] = attrs.field(factory=dict)
    _sites_with: dict[int, dict[str, None]] = attrs.field(factory=dict)
    _most: int = 0

    def add(self, place: Place) -> None:
        places = self._places.setdefault(place.site, {})
        places[place] = None
        self._recount(place.site, len(places) - 1, len(places))

    def remove(self, place: Place) -> None:
        places = self._places[place.site]
        del places[place]
        self._recount(place.site, len(places) + 1, len(places))
        if not places:
            del self._places[place.site]

    def count_of(self, site: str) -> int:
        return len(self._places.get(site, ()))

    def oldest_of(self, site: str) -> Place | None:
        return next(iter(self._places.get(site, ())), None)

    def oldest(self) -> Place | None:
        site = next(iter(self._sites_with.get(self._most, ())), None)
        return None if site is None else self.oldest_of(site)

    def _recount(self, site: str, before: int, after: int) -> None:
        if before:
            del self._sites_with[before][site]
            if not self._sites_with[before]:
                del self._sites_with[before]
        if after:
            self._sites_with.setdefault(after, {})[site] = None
        self._most = max(self._most, after)
        while self._most and self._most not in self._sites_with:
            self._most -= 1
