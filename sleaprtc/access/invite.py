"""Invites: a server, a room, its token and its secret, in one line that people pass on.

``sleap-rtc://HOST[:WS_PORT[,HTTP_PORT]]/ROOM#TOKEN.SECRET``, or ``sleap-rtcs://…`` where both ports speak
TLS. The ports default to 8080 and 8001. What follows ``#`` is for members only: they send the token to the
server, and never the secret.
"""

from __future__ import annotations

import re
import shlex
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

from ..errors import UsageError
from ..rtc.secret import RoomSecret
from ..signaling.http import Endpoints, Room

DEFAULT_WS_PORT: Final = 8080
DEFAULT_HTTP_PORT: Final = 8001

_FORM: Final = re.compile(
    r"sleap-rtc(?P<tls>s?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/:#,@?\[\]]+)(?::(?P<ws>\d{1,5})(?:,(?P<http>\d{1,5}))?)?"
    r"/(?P<room>[^\s/#?]+)#(?P<token>\S+)\.(?P<secret>[^\s.]+)"
)
_PLAIN_PORTS: Final = {"ws": 80, "wss": 443, "http": 80, "https": 443}


@attrs.frozen
class Invite:
    """A server, a room and the room's secret."""

    endpoints: Endpoints
    room: Room
    secret: RoomSecret

    @classmethod
    def parse(cls, text: str) -> Invite:
        """Parses an invite.

        Raises:
            UsageError: It isn't one. The sentence doesn't repeat it.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                "An invite has the form sleap-rtc://HOST:PORT,PORT/ROOM#TOKEN.SECRET, on one line."
            )
        ports = int(found["ws"] or DEFAULT_WS_PORT), int(found["http"] or DEFAULT_HTTP_PORT)
        if not all(0 < port < 2**16 for port in ports):
            raise UsageError("A port in the invite isn't between 1 and 65535.")
        tls, host = found["tls"], found["host"]
        endpoints = Endpoints(
            f"{'wss' if tls else 'ws'}://{host}:{ports[0]}/",
            f"{'https' if tls else 'http'}://{host}:{ports[1]}",
        )
        room = Room.named(unquote(found["room"]), unquote(found["token"]))
        return cls(endpoints, room, RoomSecret.parse(found["secret"]))

    def line(self) -> str | None:
        """Returns the invite as text; None if it can't express the addresses, such as those of two hosts."""
        address = _address(self.endpoints)
        if address is None:
            return None
        room, token = quote(self.room.room_id, safe=""), quote(self.room.token, safe="")
        return f"{address}/{room}#{token}.{self.secret.text}"


def _address(endpoints: Endpoints) -> str | None:
    ws, http = urlsplit(endpoints.ws_url), urlsplit(endpoints.http_url)
    schemes = {("ws", "http"): "sleap-rtc", ("wss", "https"): "sleap-rtcs"}
    scheme = schemes.get((ws.scheme, http.scheme))
    if (
        scheme is None
        or ws.hostname != http.hostname
        or not ws.hostname
        or not (_is_bare(ws) and _is_bare(http))
    ):
        return None
    host = f"[{ws.hostname}]" if ":" in ws.hostname else ws.hostname
    ws_port, http_port = (url.port or _PLAIN_PORTS[url.scheme] for url in (ws, http))
    if http_port != DEFAULT_HTTP_PORT:
        return f"{scheme}://{host}:{ws_port},{http_port}"
    return f"{scheme}://{host}" if ws_port == DEFAULT_WS_PORT else f"{scheme}://{host}:{ws_port}"


def _is_bare(url: SplitResult) -> bool:
    """Whether a URL is no more than scheme, host and port."""
    return url.path in ("", "/") and not url.query and not url.fragment and "@" not in url.netloc


def export_lines(endpoints: Endpoints, room: Room, secret: RoomSecret | None) -> tuple[str, ...]:
    """Returns lines for a shell: the invite, then the same as single settings, each word quoted."""
    lines = []
    invite = None if secret is None else Invite(endpoints, room, secret).line()
    if invite is not None:
        lines.append(_export(SLEAP_RTC_INVITE=invite))
    own_secret = {} if secret is None else {"SLEAP_RTC_SECRET": secret.text}
    lines.append(_export(SLEAP_RTC_ROOM_ID=room.room_id, SLEAP_RTC_TOKEN=room.token, **own_secret))
    lines.append(
        _export(SLEAP_RTC_SIGNALING_WS=endpoints.ws_url, SLEAP_RTC_SIGNALING_HTTP=endpoints.http_url)
    )
    return tuple(lines)


def _export(**settings: str) -> str:
    assignments = (f"{name}={shlex.quote(value)}" for name, value in settings.items())
    return f"export {' '.join(assignments)}"
