"""Command-line options that worker and client share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click
from click.core import ParameterSource

from .config import load_defaults
from .errors import SleapRTCError, UsageError
from .invite import Invite
from .protocol.ice import parse_ice_server
from .protocol.messages import IceServer
from .rtc.secret import RoomSecret
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
        engine: Which WebRTC engine to use.
        secret: The room's, which both ends prove to each other; None where there is none, and the signaling
            server is trusted.
    """

    ice_loopback: bool = False
    ice_servers: tuple[IceServer, ...] = ()
    engine: str = "auto"
    secret: RoomSecret | None = None

    def ice_settings(self, handed_out: tuple[IceServer, ...]) -> IceSettings:
        """Joins these settings with the ICE servers that the signaling server hands out."""
        from .rtc.engines.base import IceSettings  # commands that make no connection start without it

        return IceSettings((*self.ice_servers, *handed_out), self.ice_loopback)


@attrs.frozen
class PeerOptions:
    """How to reach the server, which room to be in, and how to connect to peers.

    Attributes:
        endpoints: The signaling server.
        room: None where neither room nor token was given.
    """

    endpoints: Endpoints
    room: Room | None
    connection: ConnectionOptions = ConnectionOptions()


@attrs.frozen
class Access:
    """Which server and which room.

    Attributes:
        room: None where neither room nor token was given.
        secret: None where the room has none.
    """

    endpoints: Endpoints
    room: Room | None
    secret: RoomSecret | None


def config_file_option(
    section: str, subcommands: Sequence[tuple[str, ...]] = ()
) -> Callable[[Command], Command]:
    """Adds ``--config-file`` and makes the settings files the options' defaults.

    Args:
        section: Which part of the files holds here.
        subcommands: Of a group, the paths of its commands, such as ``("room", "create")``.
    """

    def use(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        try:
            defaults = load_defaults(section, value)
        except SleapRTCError as error:
            raise click.UsageError(str(error)) from error
        context.default_map = _default_map(defaults, subcommands)

    return click.option(
        "--config-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="SLEAP_RTC_CONFIG_FILE",
        is_eager=True,
        expose_value=False,
        callback=use,
        help="Settings in TOML, read instead of ./sleap-rtc.toml and the user's own.",
    )


def _default_map(defaults: dict[str, Any], subcommands: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Arranges defaults as click looks them up: for a group, below the names of its commands alone."""
    if not subcommands:
        return defaults
    tree: dict[str, Any] = {}
    for *groups, command in subcommands:
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[command] = defaults
    return tree


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
        callback=_warn_of_arguments,
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
    """Adds the addresses of the signaling server and the room."""
    return _stack(command, (*_ROOM_OPTIONS, *_OPTIONS))


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
    return PeerOptions(access.endpoints, access.room, connection)


def access_of(given: Mapping[str, Any]) -> Access:
    """Gathers what :func:`room_options` has collected. An invite says all of it, whatever the addresses are.

    Raises:
        UsageError: A room without its token, or the other way round; an invite that can't be read, or that is
            to another room than the one named besides.
    """
    endpoints = endpoints_of(given)
    token = _token_in(given["token_file"]) if given.get("token_file") else given["token"]
    secret = RoomSecret.parse(given["secret"]) if given.get("secret") else None
    if not given.get("invite"):
        return Access(endpoints, room_of(given["room"], token), secret)
    invite = Invite.parse(given["invite"])
    invited = (invite.room.room_id, invite.room.token, invite.secret)
    if (given["room"] or invited[0], token or invited[1], secret or invited[2]) != invited:
        raise UsageError(
            "The invite is to another room than the one named besides. Leave either away: --invite "
            "(SLEAP_RTC_INVITE), or --room, --token and --secret (SLEAP_RTC_ROOM_ID, SLEAP_RTC_TOKEN and "
            "SLEAP_RTC_SECRET)."
        )
    return Access(attrs.evolve(invite.endpoints, ca_file=endpoints.ca_file), invite.room, invite.secret)


def endpoints_of(given: Mapping[str, Any]) -> Endpoints:
    """Gathers what :func:`server_options` has collected."""
    return Endpoints(given["signaling_ws"], given["signaling_http"], given.get("tls_ca"))


def _token_in(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
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
        engine=given["engine"],
    )


def room_of(room: str | None, token: str | None) -> Room | None:
    """Joins ``--room`` and ``--token``, of which there must be both or neither.

    Raises:
        UsageError: Only one of the two is there.
    """
    if not room and not token:
        return None
    if not room or not token:
        missing = "--token (or SLEAP_RTC_TOKEN)" if room else "--room (or SLEAP_RTC_ROOM_ID)"
        raise UsageError(f"A room needs both its id and its token: {missing} is missing.")
    return Room(room, token)
