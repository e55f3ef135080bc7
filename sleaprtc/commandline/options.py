"""Command-line options that several programs share; each hands its command a finished value."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
from click.core import ParameterSource

from ..access.choice import ROOM_SETTINGS, RoomSource, RoomSources, find_access, weaker_sources
from ..access.place import DEFAULT_HTTP_URL, DEFAULT_WS_URL, ConnectionOptions, PeerOptions
from ..base.byte_rates import NO_LIMIT
from ..signaling.http import Endpoints
from .numbers import ByteRate
from .run import errors_reported
from .settings_option import files_of

Command: TypeAlias = Callable[..., None]
Option: TypeAlias = Callable[[Command], Command]


def _warn_of_arguments(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Warns about a secret on the command line, which everyone on the machine can read."""
    if value and option.name and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
        file = " or --token-file FILE" if option.name == "token" else ""
        click.echo(
            f"Warning: --{option.name} on the command line can be read by everyone on this machine; use "
            f"{option.envvar}{file}.",
            err=True,
        )
    return value


_SERVER_OPTIONS: Final[Mapping[str, Option]] = {
    "signaling_ws": click.option(
        "--signaling-ws",
        envvar="SLEAP_RTC_SIGNALING_WS",
        default=DEFAULT_WS_URL,
        show_default=True,
        metavar="URL",
        help="WebSocket address of the signaling server.",
    ),
    "signaling_http": click.option(
        "--signaling-http",
        envvar="SLEAP_RTC_SIGNALING_HTTP",
        default=DEFAULT_HTTP_URL,
        show_default=True,
        metavar="URL",
        help="HTTP address of the signaling server.",
    ),
    "tls_ca": click.option(
        "--tls-ca",
        envvar="SLEAP_RTC_TLS_CA",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Certificates (PEM) that vouch for the server, in place of the system's.",
    ),
}
_ROOM_OPTIONS: Final[Mapping[str, Option]] = {
    "invite": click.option(
        "--invite",
        envvar="SLEAP_RTC_INVITE",
        metavar="LINE",
        help="Server, room, token and secret in one: sleap-rtc://HOST:PORT,PORT/ROOM#TOKEN.SECRET.",
    ),
    "room": click.option("--room", envvar="SLEAP_RTC_ROOM_ID", metavar="ID", help="The room's id."),
    "token": click.option(
        "--token",
        envvar="SLEAP_RTC_TOKEN",
        metavar="TOKEN",
        callback=_warn_of_arguments,
        help="The room's token.",
    ),
    "token_file": click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="File to read the room's token from, instead of --token.",
    ),
    "secret": click.option(
        "--secret",
        envvar="SLEAP_RTC_SECRET",
        metavar="SECRET",
        callback=_warn_of_arguments,
        help="The room's secret, if it isn't in an invite.",
    ),
}
_CONNECTION_OPTIONS: Final[Mapping[str, Option]] = {
    "ice_loopback": click.option(
        "--ice-loopback/--no-ice-loopback",
        envvar="SLEAP_RTC_ICE_LOOPBACK",
        default=False,
        help="Connect over 127.0.0.1, for both ends on one machine.",
    ),
    "ice_servers": click.option(
        "--ice-server",
        "ice_servers",
        envvar="SLEAP_RTC_ICE_SERVER",
        multiple=True,
        metavar="URL",
        help="A STUN or TURN server: stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT. Can be repeated.",
    ),
    "private_ice_servers": click.option(
        "--private-ice-servers/--no-private-ice-servers",
        envvar="SLEAP_RTC_PRIVATE_ICE_SERVERS",
        default=True,
        help="Also use STUN and TURN servers at private addresses that the signaling server names.",
    ),
    "engine": click.option(
        "--engine",
        envvar="SLEAP_RTC_ENGINE",
        type=click.Choice(["auto", "aiortc", "libwebrtc"]),
        default="auto",
        show_default=True,
        help="Which WebRTC implementation carries the data.",
    ),
    "limit_rate": click.option(
        "--limit-rate",
        envvar="SLEAP_RTC_LIMIT_RATE",
        type=ByteRate(),
        default=NO_LIMIT,
        show_default=True,
        metavar="RATE",
        help="The most bytes to send in a second, and to receive, such as 500K or 2M.",
    ),
}


def gathered(
    command: Command,
    into: str,
    make: Callable[..., object],
    options: Mapping[str, Option],
) -> Command:
    """Adds options to a command, which gets one value that is made of them all.

    Args:
        command: The command.
        into: The command's parameter for the value.
        make: Makes the value of what the options hold, by their names. What it raises ends the command.
        options: The options by their names, in the order of the help text.
    """

    @functools.wraps(command)
    def with_value(**given: object) -> None:
        parts = {name: given.pop(name) for name in options}
        with errors_reported(as_json=bool(given.get("as_json"))):
            value = make(**parts)
        command(**given, **{into: value})

    decorated: Command = with_value
    for option in reversed(tuple(options.values())):
        decorated = option(decorated)
    return decorated


def server_options(command: Command) -> Command:
    """Adds the signaling server's addresses; the command gets ``endpoints``, an :class:`Endpoints`."""
    return gathered(command, "endpoints", _endpoints, _SERVER_OPTIONS)


def room_options(command: Command) -> Command:
    """Adds the server's addresses and the room; the command gets ``peer``, a :class:`PeerOptions`."""
    return gathered(command, "peer", _peer, {**_ROOM_OPTIONS, **_SERVER_OPTIONS})


def connection_options(command: Command) -> Command:
    """Adds how to connect to peers; the command gets ``connection``, a :class:`ConnectionOptions`."""
    return gathered(command, "connection", ConnectionOptions.of_settings, _CONNECTION_OPTIONS)


def peer_options(command: Command) -> Command:
    """Adds server, room and connection; the command gets all of it as ``peer``, a :class:`PeerOptions`."""
    options = {**_ROOM_OPTIONS, **_SERVER_OPTIONS, **_CONNECTION_OPTIONS}
    return gathered(command, "peer", _connected_peer, options)


def measured_peer_options(command: Command) -> Command:
    """Adds the same without the limit on the rate, for a command that measures and transfers nothing."""
    options = {**_ROOM_OPTIONS, **_SERVER_OPTIONS, **_CONNECTION_OPTIONS}
    del options["limit_rate"]
    return gathered(command, "peer", _connected_peer, options)


def _endpoints(signaling_ws: str, signaling_http: str, tls_ca: str | None) -> Endpoints:
    return Endpoints(signaling_ws, signaling_http, tls_ca)


def _peer(
    signaling_ws: str,
    signaling_http: str,
    tls_ca: str | None,
    *,
    connection: ConnectionOptions | None = None,
    **_room: object,
) -> PeerOptions:
    """Decides which room is meant. Its options are read with their sources, since those decide."""
    sources = sources_of(click.get_current_context())
    return find_access(_endpoints(signaling_ws, signaling_http, tls_ca), sources, connection)


def _connected_peer(
    ice_loopback: bool,
    ice_servers: tuple[str, ...],
    private_ice_servers: bool,
    engine: str,
    limit_rate: float | None = None,
    **place: Any,
) -> PeerOptions:
    connection = ConnectionOptions.of_settings(
        ice_loopback=ice_loopback,
        ice_servers=ice_servers,
        private_ice_servers=private_ice_servers,
        engine=engine,
        limit_rate=limit_rate,
    )
    return _peer(**place, connection=connection)


def sources_of(context: click.Context) -> RoomSources:
    """Gathers what a command's options, its environment and its settings files set for server and room."""
    given = {
        name: str(value)
        for name in ROOM_SETTINGS
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if (value := context.params.get(name)) is not None
    }
    program, files = files_of(context)
    rooms = (RoomSource("the command line", given), *weaker_sources(os.environ, files, program))
    defaults = (None, ParameterSource.DEFAULT)
    addresses = ("signaling_ws", "signaling_http")
    return RoomSources(rooms, any(context.get_parameter_source(name) not in defaults for name in addresses))
