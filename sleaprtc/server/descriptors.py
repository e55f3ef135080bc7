"""How many file descriptors this process may have open, and how the two ports share them."""

from __future__ import annotations

from typing import Final

import attrs

WANTED_DESCRIPTORS: Final = 65_536
"""The limit that the process asks the system for; docs/operations.md gives a systemd unit the same."""

RESERVED_DESCRIPTORS: Final = 64
"""For everything but connections: listeners, SQLite, the log, wake-up pipes. An idle server has 14."""

MAX_HTTP_CONNECTIONS: Final = 4096
"""HTTP requests take milliseconds and connections end after seconds: more would only take places from
peers."""

_FEWEST: Final = 4


@attrs.frozen
class PortCapacities:
    """How many connections each port may have open at once."""

    ws: int
    http: int


def share_out(descriptors: int) -> PortCapacities:
    """Divides descriptors between the ports: at most a quarter for HTTP, the rest for WebSockets, which last.

    Args:
        descriptors: How many the process may have open.
    """
    for_peers = descriptors - RESERVED_DESCRIPTORS
    http = max(_FEWEST, min(for_peers // 4, MAX_HTTP_CONNECTIONS))
    return PortCapacities(ws=max(_FEWEST, for_peers - http), http=http)


def descriptor_limit() -> int:
    """Returns how many descriptors this process may have open; ``WANTED_DESCRIPTORS`` if unlimited."""
    try:
        import resource
    except ImportError:  # Windows, where sockets aren't counted
        return WANTED_DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> None:
    """Raises the process's soft limit to ``WANTED_DESCRIPTORS``, or as far as the hard limit allows.

    The soft limit, often 1,024 or 256, is low because of programs that use select(2). This one doesn't.
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
