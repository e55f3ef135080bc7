"""Command-line options that worker and client share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs
import click
from click.core import ParameterSource

from ..access.choice import ROOM_SETTINGS, RoomSource, RoomSources, find_access, weaker_sources
from ..access.place import DEFAULT_HTTP_URL, DEFAULT_WS_URL, Access, ConnectionOptions, PeerOptions
from ..protocol.ice import parse_ice_server
from ..signaling.http import Endpoints
from .settings_option import config_file_option as config_file_option
from .settings_option import files_of

Command = TypeVar("Command", bound=Callable[..., Any])


def _warn_of_arguments(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Warns of a secret among a process' arguments, which everyone on the machine can read."""
    if value and option.name and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
        file = " or --token-file FILE" if option.name == "token" else ""
        click.echo(
            f"Warning: --{option.name} on the command line can be read by everyone on this machine; use "
            f"{option.envvar}{file}.",
            err=True,
        )
    return value


_OPTIONS: Final = (
    click.option(
        "--signaling-ws",
        envvar="SLEAP_RTC_SIGNALING_WS",
        default=DEFAULT_WS_URL,
        show_default=True,
        metavar="URL",
        help="WebSocket address of the signaling server.",
    ),
    click.option(
        "--signaling-http",
        envvar="SLEAP_RTC_SIGNALING_HTTP",
        default=DEFAULT_HTTP_URL,
        show_default=True,
        metavar="URL",
        help="HTTP address of the signaling server.",
    ),
    click.option(
        "--tls-ca",
        envvar="SLEAP_RTC_TLS_CA",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Certificates (PEM) that vouch for the server, in place of the system's.",
    ),
)
_ROOM_OPTIONS: Final = (
    click.option(
        "--invite",
        envvar="SLEAP_RTC_INVITE",
        metavar="LINE",
        help="Server, room, token and secret in one: sleap-rtc://HOST:PORT,PORT/ROOM#TOKEN.SECRET.",
    ),
    click.option("--room", envvar="SLEAP_RTC_ROOM_ID", metavar="ID", help="The room's id."),
    click.option(
        "--token",
        envvar="SLEAP_RTC_TOKEN",
        metavar="TOKEN",
        callback=_warn_of_arguments,
        help="The room's token.",
    ),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Where the room's token is read from, instead of --token.",
    ),
    click.option(
        "--secret",
        envvar="SLEAP_RTC_SECRET",
        metavar="SECRET",
        callback=_warn_of_arguments,
        help="The room's secret, where it isn't in an invite.",
    ),
)
_CONNECTION_OPTIONS: Final = (
    click.option(
        "--ice-loopback/--no-ice-loopback",
        envvar="SLEAP_RTC_ICE_LOOPBACK",
        default=False,
        help="Connect over 127.0.0.1, for both ends on one machine.",
    ),
    click.option(
        "--ice-server",
        "ice_servers",
        envvar="SLEAP_RTC_ICE_SERVER",
        multiple=True,
        metavar="URL",
        help="A STUN or TURN server: stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT. Can be repeated.",
    ),
    click.option(
        "--private-ice-servers/--no-private-ice-servers",
        envvar="SLEAP_RTC_PRIVATE_ICE_SERVERS",
        default=True,
        help="Ask STUN and TURN servers that the signaling server names at private addresses, too.",
    ),
    click.option(
        "--engine",
        envvar="SLEAP_RTC_ENGINE",
        type=click.Choice(["auto", "aiortc", "libwebrtc"]),
        default="auto",
        show_default=True,
        help="Which WebRTC implementation carries the data.",
    ),
)


def _stack(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def server_options(command: Command) -> Command:
    """Adds the addresses of the signaling server."""
    return _stack(command, _OPTIONS)


def room_options(command: Command) -> Command:
    """Adds the addresses of the signaling server and the room.

    The command is also handed ``access_sources``, by which :func:`access_of` knows who says what.
    """

    @functools.wraps(command)
    def with_sources(**given: Any) -> Any:
        return command(**given, access_sources=sources_of(click.get_current_context()))

    return _stack(cast("Command", with_sources), (*_ROOM_OPTIONS, *_OPTIONS))


def connection_options(command: Command) -> Command:
    """Adds what decides about WebRTC connections."""
    return _stack(command, _CONNECTION_OPTIONS)


def peer_options(given: Mapping[str, Any]) -> PeerOptions:
    """Gathers what :func:`room_options` and :func:`connection_options` have collected.

    Raises:
        UsageError: As :func:`access_of`, or a malformed ICE server.
    """
    access = access_of(given)
    connection = attrs.evolve(connection_of(given), secret=access.secret)
    return PeerOptions(access.endpoints, access.room, connection, access.is_remembered, access.to_remember)


def endpoints_of(given: Mapping[str, Any]) -> Endpoints:
    """Gathers what :func:`server_options` has collected."""
    return Endpoints(given["signaling_ws"], given["signaling_http"], given.get("tls_ca"))


def connection_of(given: Mapping[str, Any]) -> ConnectionOptions:
    """Gathers what :func:`connection_options` has collected.

    Raises:
        UsageError: A malformed ICE server.
    """
    return ConnectionOptions(
        ice_loopback=given["ice_loopback"],
        ice_servers=tuple(parse_ice_server(url) for url in given["ice_servers"]),
        private_ice_servers=given["private_ice_servers"],
        engine=given["engine"],
    )


def sources_of(context: click.Context) -> RoomSources:
    """Gathers what a command's options, its environment and its settings files say of server and room."""
    given = {
        name: context.params.get(name)
        for name in ROOM_SETTINGS
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    program, files = files_of(context)
    rooms = (RoomSource("the command line", given), *weaker_sources(os.environ, files, program))
    defaults = (None, ParameterSource.DEFAULT)
    addresses = ("signaling_ws", "signaling_http")
    return RoomSources(rooms, any(context.get_parameter_source(name) not in defaults for name in addresses))


def access_of(given: Mapping[str, Any]) -> Access:
    """Gathers what :func:`room_options` has collected.

    Raises:
        UsageError: As :func:`sleaprtc.access.choice.find_access`.
    """
    return find_access(endpoints_of(given), given["access_sources"])
