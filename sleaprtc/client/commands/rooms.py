"""``client room``: rooms, in which workers and clients meet."""

from __future__ import annotations

import time
from typing import Any

import attrs
import click

from ...access.address import is_only_local
from ...access.invite import Invite, export_lines
from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...commandline.options import endpoints_of, server_options
from ...rtc.secret import RoomSecret
from ...signaling.http import open_http
from .common import HELP, json_option, run_command


def _clock(epoch_sec: float | None) -> str:
    return "an unknown time" if epoch_sec is None else time.strftime("%H:%M", time.localtime(epoch_sec))


@click.group(context_settings=HELP)
def room() -> None:
    """Make rooms, in which workers and clients meet."""


@room.command("create")
@server_options
@click.option(
    "--no-secret",
    is_flag=True,
    help="For peers of other makes that know no secret; the signaling server is trusted then.",
)
@json_option
def room_create(no_secret: bool, as_json: bool, **given: Any) -> None:
    """Make a room and print what workers and clients need to join it: the first line is enough.

    It has a secret that the signaling server never sees, by which workers and clients know each other.

    It lives for two hours, and for as long as `train` or `attach` runs in it here; `sleap-rtc client room
    renew` gives it two more.
    """
    from ...access.made_rooms import remember

    async def command() -> None:
        endpoints = endpoints_of(given)
        async with open_http(endpoints.http_url, endpoints.ca_file) as http:
            account = await http.sign_in()
            made = await http.create_room(account)
        remember(endpoints, made.room_id, account)
        secret = None if no_secret else RoomSecret.generate()
        if as_json:
            shown = (
                {"secret": secret.text, "invite": Invite(endpoints, made, secret).line()} if secret else {}
            )
            print_json(attrs.asdict(made) | shown)
            return
        for line in export_lines(endpoints, made, secret):
            print(line)
        if is_only_local(endpoints.http_url):
            print(printable(f"# for this machine only: the server is named {endpoints.http_url} here"))
        print(f"# until {_clock(made.expires_at)}; prolonged by: sleap-rtc client room renew {made.room_id}")

    run_command(command, as_json)


@room.command("renew")
@click.argument("room_id", metavar="ROOM", envvar="SLEAP_RTC_ROOM_ID")
@server_options
def room_renew(room_id: str, **given: Any) -> None:
    """Give ROOM, made here before, its full time again."""
    from ...access.made_rooms import known_owner, remember

    async def command() -> None:
        endpoints = endpoints_of(given)
        account = known_owner(room_id, endpoints.http_url)
        async with open_http(endpoints.http_url, endpoints.ca_file) as http:
            account = await http.sign_in(account)
            expires_at = await http.renew_room(account, room_id)
        remember(endpoints, room_id, account)
        print(f"Room {room_id} lives until {_clock(expires_at)}.")

    run_command(command, as_json=False)
