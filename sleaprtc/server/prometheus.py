"""Metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .hub import Metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""


def exposition(metrics: Metrics) -> str:
    """Writes the metrics for a scraper."""
    return "".join(f"{line}\n" for line in _lines(metrics))


def _lines(metrics: Metrics) -> Iterator[str]:
    yield from _metric("active_rooms", "gauge", "Rooms that haven't ended.", metrics.active_rooms)
    yield from _metric(
        "active_connections", "gauge", "Open WebSocket connections.", metrics.active_connections
    )
    yield from _header("peers", "gauge", "Registered peers by their role.")
    for role, count in sorted(metrics.peers_by_role.items()):
        yield f'sleaprtc_peers{{role="{_escaped(role)}"}} {count}'
    yield from _metric(
        "connections_total", "counter", "Connections since the start.", metrics.total_connections
    )
    yield from _metric(
        "messages_total", "counter", "Messages received since the start.", metrics.total_messages
    )
    yield from _metric("rooms_created_total", "counter", "Rooms made since the start.", metrics.rooms_created)


def _header(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP sleaprtc_{name} {meaning}"
    yield f"# TYPE sleaprtc_{name} {kind}"


def _metric(name: str, kind: str, meaning: str, value: int) -> Iterator[str]:
    yield from _header(name, kind, meaning)
    yield f"sleaprtc_{name} {value}"


def _escaped(label: str) -> str:
    """Escapes a label's value: roles are peers' own words."""
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
