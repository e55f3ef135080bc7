"""Who is let in, and how often they may be wrong; no I/O, and time is an argument."""

from __future__ import annotations

import ipaddress
import math
from typing import Final

import attrs

from ..base.rate import KeyedBuckets
from ..errors import RateLimitedError
from ..protocol.limits import MAX_NAME_CHARS
from .settings import ServerSettings

IPV6_SITE_PREFIX: Final = 64
"""One subscriber has at least a /64 to choose addresses from (RFC 6177, section 2): it counts as one."""


def site_of(address: str) -> str:
    """Says which addresses count as one: an IPv4 address alone, an IPv6 address with its network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE_PREFIX), strict=False))


@attrs.frozen
class Applicant:
    """Somebody who asks to be let into a room.

    Attributes:
        account: Subject of the verified id token.
        address: Where the connection comes from.
        room_id: As the applicant has it; there may be no such room.
    """

    account: str
    address: str
    room_id: str


class GuessLimits:
    """How often a room token may be guessed.

    An account may be wrong so many times. Once too many accounts of one address, or too many for one room,
    have been wrong, those that were wrong before aren't heard any more until that has been made up for.
    Whoever was never wrong always is: a guesser locks nobody out but itself, be it at the address of the
    room's members. New accounts don't help a guesser much, since making them is limited by address too.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._by_account = KeyedBuckets(settings.wrong_tokens_per_sec, settings.wrong_token_burst)
        self._by_address = KeyedBuckets(settings.wrong_tokens_per_sec, settings.wrong_token_site_burst)
        self._by_room = KeyedBuckets(settings.wrong_tokens_per_sec, settings.wrong_token_site_burst)

    def check(self, applicant: Applicant, now: float) -> None:
        """Raises RateLimitedError where the applicant has been wrong too often to be heard now."""
        wait_sec = self._by_account.wait(applicant.account, now)
        if self._by_account.has_taken(applicant.account, now):
            wait_sec = max(
                wait_sec,
                self._by_address.wait(site_of(applicant.address), now),
                self._by_room.wait(applicant.room_id[:MAX_NAME_CHARS], now),
            )
        if wait_sec > 0:
            raise RateLimitedError(f"Too many wrong room tokens; try again in {math.ceil(wait_sec)} seconds.")

    def note_wrong_token(self, applicant: Applicant, now: float) -> None:
        """Counts one wrong guess, whether or not there is such a room."""
        self._by_account.take(applicant.account, now)
        self._by_address.take(site_of(applicant.address), now)
        self._by_room.take(applicant.room_id[:MAX_NAME_CHARS], now)
