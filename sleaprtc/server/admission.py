"""Limits how often a peer may try wrong room tokens; no I/O, and time is an argument."""

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
"""One subscriber can choose from the addresses of at least a /64 (RFC 6177, section 2), so it counts as
one."""


def site_of(address: str) -> str:
    """Returns the site that an address counts for: an IPv4 address itself, or an IPv6 address's network."""
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
    """A peer that tries to register in a room.

    Attributes:
        account: Subject of the verified id token.
        address: The IP address from which the peer connects.
        room_id: The requested room, which may not exist.
    """

    account: str
    address: str
    room_id: str


class GuessLimits:
    """Limits how often peers may guess a room's token.

    Wrong tokens are counted by account, by address and by room. An account that has used up its own limit is
    refused for a while. If the limit of its address or of its room is used up, every account with a wrong
    token of its own is refused. An account without one never is, so a guesser can't lock out a room's
    members, even from their own address. New accounts help a guesser little, since sign-ins are limited by
    address, too.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._by_account = KeyedBuckets(settings.wrong_tokens_per_sec, settings.wrong_token_burst)
        self._by_address = KeyedBuckets(settings.wrong_tokens_per_sec, settings.wrong_token_site_burst)
        self._by_room = KeyedBuckets(settings.wrong_tokens_per_sec, settings.wrong_token_site_burst)

    def check(self, applicant: Applicant, now: float) -> None:
        """Checks whether an applicant may try a token now.

        Args:
            applicant: Who tries.
            now: The time in seconds, on a monotonic clock.

        Raises:
            RateLimitedError: There were too many wrong tokens; the sentence says how long to wait.
        """
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
        """Counts one wrong token, whether or not the room exists."""
        self._by_account.take(applicant.account, now)
        self._by_address.take(site_of(applicant.address), now)
        self._by_room.take(applicant.room_id[:MAX_NAME_CHARS], now)
