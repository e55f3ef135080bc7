"""Server, room and connection of a call from Python, completed from the environment as a command's are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from ..base.byte_rates import parse_rate
from ..config.schema import SETTINGS, SHARED
from ..config.variables import text_of, value_of
from ..signaling.http import Endpoints
from .choice import RoomSource, RoomSources, find_access, weaker_sources
from .place import ConnectionOptions, PeerOptions

_SETTINGS: Final = SETTINGS[SHARED]


def connection_options(
    environ: Mapping[str, str], *, ice_loopback: bool | None = None, limit_rate: str | None = None
) -> ConnectionOptions:
    """Returns how to connect, as the environment says where nothing is given.

    Raises:
        UsageError: A variable's value isn't valid, or the rate that is given.
    """
    if limit_rate is None:
        limit_rate = value_of(_SETTINGS["limit_rate"], environ)
    return ConnectionOptions.of_settings(
        ice_loopback=value_of(_SETTINGS["ice_loopback"], environ) if ice_loopback is None else ice_loopback,
        ice_servers=value_of(_SETTINGS["ice_server"], environ),
        private_ice_servers=value_of(_SETTINGS["private_ice_servers"], environ),
        engine=value_of(_SETTINGS["engine"], environ),
        limit_rate=parse_rate(limit_rate),
    )


def peer_options(
    environ: Mapping[str, str],
    *,
    room: str | None = None,
    token: str | None = None,
    invite: str | None = None,
    signaling_ws: str | None = None,
    signaling_http: str | None = None,
    connection: ConnectionOptions | None = None,
) -> PeerOptions:
    """Fills in what isn't given: from the environment, and from the room joined on this machine.

    Args:
        environ: The environment's variables.
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line. It isn't remembered for later commands.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        connection: How to connect.

    Raises:
        UsageError: A variable's value isn't valid; otherwise as :func:`~.choice.find_access` does.
    """
    named = {"invite": invite, "room": room, "token": token}
    given = RoomSource("the call", {name: text for name, text in named.items() if text is not None})
    addresses = {"signaling_ws": signaling_ws, "signaling_http": signaling_http}
    names_a_server = any(text or text_of(_SETTINGS[name], environ) for name, text in addresses.items())
    ws_url, http_url = (text or value_of(_SETTINGS[name], environ) for name, text in addresses.items())
    endpoints = Endpoints(ws_url, http_url, value_of(_SETTINGS["tls_ca"], environ))
    sources = RoomSources((given, *weaker_sources(environ, (), "client")), names_a_server)
    return attrs.evolve(find_access(endpoints, sources, connection), to_remember=None)
