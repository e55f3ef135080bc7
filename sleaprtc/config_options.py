"""Command-line options that worker and client share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs
import click
from click.core import ParameterSource

from . import remembered_room
from .config.option import config_file_option as config_file_option
from .errors import UsageError
from .invite import Invite
from .protocol.ice import parse_ice_server
from .protocol.messages import IceServer
from .remembered_room import RememberedRoom
from .room_sources import ROOM_SETTINGS, RoomSource, chosen_room, room_sources
from .rtc.secret import RoomSecret
from .sentences import as_clause
from .signaling.http import Endpoints, Room

DEFAULT_WS_URL: Final = "ws://127.0.0.1:8080/"
DEFAULT_HTTP_URL: Final = "http://127.0.0.1:8001"

if TYPE_CHECKING:
    from .rtc.engines.base import IceSettings

Command = TypeVar("Command", bound=Callable[..., Any])


@attrs.frozen
class ConnectionOptions:
    """How data channels are made.

    Attributes:
        ice_loopback: Whether 127.0.0.1 takes part in connecting.
        ice_servers: Own STUN and TURN servers, besides those the signaling server hands out.
        private_ice_servers: Whether to ask those that the signaling server hands out, wherever they are, and
            not at public addresses alone.
        engine: Which WebRTC engine to use.
        secret: The room's, which both ends prove to each other; None where there is none, and the signaling
            server is trusted.
    """

    ice_loopback: bool = False
    ice_servers: tuple[IceServer, ...] = ()
    private_ice_servers: bool = True
    engine: str = "auto"
    secret: RoomSecret | None = None

    async def ice_settings(self, handed_out: tuple[IceServer, ...]) -> IceSettings:
        """Joins these settings with the ICE servers that the signaling server hands out."""
        from .rtc.engines.base import IceSettings  # commands that make no connection start without it
        from .rtc.public_ice import public_only

        refused: tuple[str, ...] = ()
        if not self.private_ice_servers:
            handed_out, refused = await public_only(handed_out)
        return IceSettings((*self.ice_servers, *handed_out), self.ice_loopback, refused)


@attrs.frozen
class PeerOptions:
    """How to reach the server, which room to be in, and how to connect to peers.

    Attributes:
        endpoints: The signaling server.
        room: None where neither room nor token was given, nor a room joined here.
        is_remembered: Whether the room is the one that was joined here, and not one that was named.
        to_remember: The room, where it was named by ``--invite``: it is kept once the server lets us in.
    """

    endpoints: Endpoints
    room: Room | None
    connection: ConnectionOptions = ConnectionOptions()
    is_remembered: bool = False
    to_remember: RememberedRoom | None = None


@attrs.frozen
class Access:
    """Which server and which room.

    Attributes:
        room: None where neither room nor token was given, nor a room joined here.
        secret: None where the room has none.
        is_remembered: As in :class:`PeerOptions`.
        to_remember: As in :class:`PeerOptions`.
    """

    endpoints: Endpoints
    room: Room | None
    secret: RoomSecret | None
    is_remembered: bool = False
    to_remember: RememberedRoom | None = None


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
        return command(**given, access_sources=AccessSources.of(click.get_current_context()))

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


@attrs.frozen
class AccessSources:
    """Who says what of server and room.

    Attributes:
        rooms: The strongest first.
        names_a_server: Whether any of them says where the server is.
    """

    rooms: tuple[RoomSource, ...]
    names_a_server: bool

    @classmethod
    def of(cls, context: click.Context) -> AccessSources:
        """Gathers what a command was given, on its line and otherwise."""
        addresses = ("signaling_ws", "signaling_http")
        defaults = (None, ParameterSource.DEFAULT)
        named = any(context.get_parameter_source(name) not in defaults for name in addresses)
        return cls(room_sources(context), named)


def access_of(given: Mapping[str, Any]) -> Access:
    """Gathers what :func:`room_options` has collected. An invite says all of it, whatever the addresses are.

    Where nobody names a room, it is the one that was joined here, unless it's on another server than the one
    that is named.

    Raises:
        UsageError: A room without its token, or the other way round; an invite that can't be read, or that is
            to another room than the one named besides.
    """
    endpoints = endpoints_of(given)
    sources: AccessSources | None = given.get("access_sources")
    if sources is None:
        named = {name: given.get(name) for name in ROOM_SETTINGS}
    else:
        named = chosen_room(sources.rooms)
        if not named:
            return _remembered_access(endpoints, sources.names_a_server)
    access = _named_access(endpoints, named)
    is_flag = sources is not None and sources.rooms[0].values.get("invite")
    if is_flag and access.room is not None:
        return attrs.evolve(access, to_remember=RememberedRoom(access.endpoints, access.room, access.secret))
    return access


def _named_access(endpoints: Endpoints, named: Mapping[str, Any]) -> Access:
    token = _token_in(Path(named["token_file"])) if named.get("token_file") else named.get("token")
    secret = RoomSecret.parse(named["secret"]) if named.get("secret") else None
    if not named.get("invite"):
        return Access(endpoints, room_of(named.get("room"), token), secret)
    invite = Invite.parse(named["invite"])
    invited = (invite.room.room_id, invite.room.token, invite.secret)
    if (named.get("room") or invited[0], token or invited[1], secret or invited[2]) != invited:
        raise UsageError(
            "The invite is to another room than the one named besides. Leave either away: --invite "
            "(SLEAP_RTC_INVITE), or --room, --token and --secret (SLEAP_RTC_ROOM_ID, SLEAP_RTC_TOKEN and "
            "SLEAP_RTC_SECRET)."
        )
    return Access(attrs.evolve(invite.endpoints, ca_file=endpoints.ca_file), invite.room, invite.secret)


def _remembered_access(endpoints: Endpoints, names_a_server: bool) -> Access:
    """The room that was joined here: its token is for its own server alone."""
    joined = remembered_room.load()
    if joined is None or (names_a_server and not joined.is_at(endpoints.ws_url, endpoints.http_url)):
        return Access(endpoints, None, None)
    at = attrs.evolve(joined.endpoints, ca_file=endpoints.ca_file or joined.endpoints.ca_file)
    return Access(at, joined.room, joined.secret, is_remembered=True)


def endpoints_of(given: Mapping[str, Any]) -> Endpoints:
    """Gathers what :func:`server_options` has collected."""
    return Endpoints(given["signaling_ws"], given["signaling_http"], given.get("tls_ca"))


def _token_in(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "it is no text" if isinstance(error, UnicodeDecodeError) else as_clause(error)
        raise UsageError(f"The token file {path} can't be read: {why}.") from error
    if not token or len(token.split()) > 1:
        raise UsageError(f"The token file {path} has to hold the room's token and nothing else.")
    return token


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


def room_of(room: str | None, token: str | None) -> Room | None:
    """Joins ``--room`` and ``--token``, of which there must be both or neither.

    Raises:
        UsageError: Only one of the two is there, or one that can't be one.
    """
    if not room and not token:
        return None
    if not room or not token:
        missing = "--token (or SLEAP_RTC_TOKEN)" if room else "--room (or SLEAP_RTC_ROOM_ID)"
        raise UsageError(f"A room needs both its id and its token: {missing} is missing.")
    return Room.named(room, token)
