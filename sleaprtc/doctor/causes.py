"""Finds out what kind of trouble an exception stands for."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from ..base.exception_groups import leaves
from ..errors import SleapRTCError, UntrustedServerError
from .network import Failure, Trouble


def classify(error: SleapRTCError) -> Failure:
    """Classifies an error by the system's own errors behind it."""
    behind = list(causes(error))
    if isinstance(error, UntrustedServerError):
        return Failure(error, Trouble.UNTRUSTED)
    if any(isinstance(cause, ssl.SSLError) for cause in behind):
        return Failure(error, Trouble.TLS)
    if any(isinstance(cause, socket.gaierror) for cause in behind):
        return Failure(error, Trouble.NAME)
    if any(isinstance(cause, ConnectionRefusedError) for cause in behind):
        return Failure(error, Trouble.REFUSED)
    if "is not a signaling server" in str(error):
        return Failure(error, Trouble.FOREIGN)
    if "doesn't answer" in str(error):
        return Failure(error, Trouble.SILENT)
    return Failure(error, Trouble.OTHER)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error, its causes, and the members of groups among them."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [leaf for leaf in leaves(current) if leaf is not current]
        waiting += [behind for behind in (current.__cause__, current.__context__) if behind is not None]
