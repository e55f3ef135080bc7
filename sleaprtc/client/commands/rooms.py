"""``client room``: rooms, in which workers and clients meet."""

from __future__ import annotations

import functools

import click

from ...commandline.options import server_options
from ...commandline.run import run
from ...signaling.http import Endpoints
from .common import HELP, json_option


@click.group(context_settings=HELP)
def room() -> None:
    """Make rooms, in which workers and clients meet."""


@room.command("create")
@server_options
@click.option(
    "--no-secret",
    is_flag=True,
    help="Make it without a secret, for peers that don't know one; the signaling server is then trusted.",
)
@json_option
def room_create(endpoints: Endpoints, no_secret: bool, as_json: bool) -> None:
    """Make a room and print what workers and clients need to join it: the first line is enough.

    It has a secret that the signaling server never sees, by which workers and clients recognise each other.

    It lives for two hours, and for as long as `train` or `attach` runs in it here; `sleap-rtc client room
    renew` gives it two more.
    """
    from ..actions.rooms import create_room

    create = functools.partial(create_room, endpoints, with_secret=not no_secret, as_json=as_json)
    run(create, as_json=as_json)


@room.command("renew")
@click.argument("room_id", metavar="ROOM", envvar="SLEAP_RTC_ROOM_ID")
@server_options
def room_renew(room_id: str, endpoints: Endpoints) -> None:
    """Renew ROOM, which was made here, for its full time."""
    from ..actions.rooms import renew_room

    run(functools.partial(renew_room, room_id, endpoints))
