"""``sleap-rtc join``: saves a room for later commands, shows it, forgets it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from ..commandline.programs import Program

if TYPE_CHECKING:
    from ..access.joined_room import RememberedRoom

_INVITE: Final = re.compile(r"sleap-rtcs?://[^\s'\"]+")
NEXT_STEP: Final = "sleap-rtc client train labels.pkg.slp"


@click.command(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("invite", required=False)
@click.option("--forget", is_flag=True, help="Forget the room that was joined.")
@click.option("--unchecked", is_flag=True, help="Store the room without asking its server whether it exists.")
@click.option(
    "--tls-ca",
    envvar="SLEAP_RTC_TLS_CA",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Certificates (PEM) that vouch for the server, in place of the system's.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def main(invite: str | None, forget: bool, unchecked: bool, tls_ca: str | None, as_json: bool) -> None:
    """Join the room of INVITE, for all later commands on this machine.

    INVITE is what `sleap-rtc worker` or `sleap-rtc client room create` has printed; `-` reads it from
    standard input, where nobody sees it. Without INVITE, the room that was joined is shown, without its
    secrets.

    A room that is named elsewhere (by an option, an environment variable, a settings file) takes precedence.
    """
    from ..commandline.run import run
    from ..errors import UsageError

    if forget and invite:
        raise click.UsageError("Give either an INVITE or --forget.")

    async def command() -> None:
        if forget:
            _forget(as_json)
        elif invite is None:
            _show(as_json)
        else:
            text = sys.stdin.read() if invite == "-" else invite
            found = _INVITE.search(text)
            if found is None:
                raise UsageError(
                    "That isn't an invite, which has the form sleap-rtc://HOST:PORT,PORT/ROOM#TOKEN.SECRET."
                )
            await _join(found.group(), tls_ca, unchecked, as_json)

    run(command, as_json=as_json)


async def _join(line: str, ca_file: str | None, unchecked: bool, as_json: bool) -> None:
    import attrs

    from ..access import joined_room
    from ..access.invite import Invite
    from ..access.joined_room import RememberedRoom

    invite = Invite.parse(line)
    joined = RememberedRoom(attrs.evolve(invite.endpoints, ca_file=ca_file), invite.room, invite.secret)
    workers = None if unchecked else await _workers_in(joined)
    joined_room.remember(joined)
    if as_json:
        from ..commandline.json_lines import print_json

        print_json({**_public_fields(joined), "workers": workers})
        return
    from ..base.printable import printable

    there = "" if workers is None else f" {_who_is_there(workers)}"
    click.echo(printable(f"Joined room {joined.room.room_id} at {joined.endpoints.http_url}.{there}"))
    click.echo(f"From now on, commands use it without further options, such as:\n  {NEXT_STEP}")


async def _workers_in(joined: RememberedRoom) -> list[str]:
    """Returns the names of the workers in a room, which also shows that the invite is valid."""
    from ..client.jobs.order.filters import WorkerFilters
    from ..client.room import open_room
    from ..commandline.run import to_standard_error

    async with open_room(joined.endpoints, joined.room, on_change=to_standard_error) as (link, _):
        return sorted(peer.peer_id for peer in await link.discover(WorkerFilters().as_json()))


def _who_is_there(workers: list[str]) -> str:
    if not workers:
        return "No worker is there yet."
    count = "1 worker is" if len(workers) == 1 else f"{len(workers)} workers are"
    return f"{count} there: {', '.join(workers)}."


def _public_fields(joined: RememberedRoom) -> dict[str, object]:
    return {
        "joined": True,
        "room_id": joined.room.room_id,
        "ws_url": joined.endpoints.ws_url,
        "http_url": joined.endpoints.http_url,
        "tls_ca": joined.endpoints.ca_file,
        "has_secret": joined.secret is not None,
    }


def _show(as_json: bool) -> None:
    from ..access import joined_room
    from ..base.printable import printable
    from ..commandline.json_lines import print_json

    joined = joined_room.load()
    if as_json:
        print_json({"joined": False} if joined is None else _public_fields(joined))
    elif joined is None:
        click.echo(
            "No room is joined here. `sleap-rtc join INVITE` joins one; `sleap-rtc worker` makes one and "
            "prints its invite."
        )
    else:
        secret = "with" if joined.secret is not None else "without"
        click.echo(
            printable(f"Room {joined.room.room_id} at {joined.endpoints.http_url}, {secret} a secret.")
        )
        click.echo(f"It is kept in {joined_room.path()}; `sleap-rtc join --forget` forgets it.")


def _forget(as_json: bool) -> None:
    from ..access import joined_room
    from ..commandline.json_lines import print_json

    was_joined = joined_room.forget()
    if as_json:
        print_json({"joined": False, "forgotten": was_joined})
    else:
        click.echo("The room is forgotten." if was_joined else "No room is joined here.")
