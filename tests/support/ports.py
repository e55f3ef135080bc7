"""Ports for programs that a test starts later, or again."""

from __future__ import annotations

import random
import socket
from typing import Final

PORTS: Final = range(20_000, 32_000)
"""Below those that the system gives to connections, which may take one before its program listens."""


def free_port() -> int:
    """Returns a port of 127.0.0.1 on which nothing listens."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
