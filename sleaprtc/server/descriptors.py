"""How many files and sockets this process may have open, and how the two ports share them."""

from __future__ import annotations

from typing import Final

import attrs

WANTED_DESCRIPTORS: Final = 65_536
"""What the limit is raised to, where the system lets the process: what docs/operations.md gives a unit."""

RESERVED_DESCRIPTORS: Final = 64
"""For what is no peer's: listeners, SQLite and its journal, the log, wake-up pipes. An idle server has 14."""

MAX_HTTP_CONNECTIONS: Final = 4096
"""Requests take milliseconds and connections end after seconds: more would only be taken from the peers."""

_FEWEST: Final = 4


@attrs.frozen
class PortCapacities:
    """The connections that each port may have open at once."""

    ws: int
    http: int


def share_out(descriptors: int) -> PortCapacities:
    """Shares a number of descriptors: a quarter for HTTP at most, the rest for WebSockets, which last.

    Args:
        descriptors: How many the process may have.
    """
    for_peers = descriptors - RESERVED_DESCRIPTORS
    http = max(_FEWEST, min(for_peers // 4, MAX_HTTP_CONNECTIONS))
    return PortCapacities(ws=max(_FEWEST, for_peers - http), http=http)


def descriptor_limit() -> int:
    """Returns how many descriptors this process may have; ``WANTED_DESCRIPTORS`` where nothing limits it."""
    try:
        import resource
    except ImportError:  # Windows, where sockets aren't counted
        return WANTED_DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> None:
    """Raises the process's own limit towards ``WANTED_DESCRIPTORS``, as far as the hard limit goes.

    The soft limit, often 1,024 or 256, is low for the sake of programs that use select(2); this one doesn't.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    for limit in (
        wanted,
        10_240,
    ):  # macOS refuses more than OPEN_MAX, which is 10,240, whatever it shows as hard
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(limit, wanted)), hard))
        except (OSError, ValueError):
            continue
        return
