"""``client room``: making rooms and renewing them."""

from __future__ import annotations

import time

import attrs

from ...access.address import is_only_local
from ...access.invite import Invite, export_lines
from ...access.made_rooms import known_owner, remember
from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...rtc.secret import RoomSecret
from ...signaling.http import Endpoints, open_http


async def create_room(endpoints: Endpoints, *, with_secret: bool, as_json: bool) -> None:
    """Makes a room, and prints what workers and clients need to join it."""
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        account = await http.sign_in()
        made = await http.create_room(account)
    remember(endpoints, made.room_id, account)
    secret = RoomSecret.generate() if with_secret else None
    if as_json:
        shown = {"secret": secret.text, "invite": Invite(endpoints, made, secret).line()} if secret else {}
        print_json(attrs.asdict(made) | shown)
        return
    for line in export_lines(endpoints, made, secret):
        print(line)
    if is_only_local(endpoints.http_url):
        print(printable(f"# for this machine only: the server's address is {endpoints.http_url} here"))
    print(f"# until {_clock(made.expires_at)}; renewed by: sleap-rtc client room renew {made.room_id}")


async def renew_room(room_id: str, endpoints: Endpoints) -> None:
    """Renews a room that was made on this machine for its full time."""
    account = known_owner(room_id, endpoints.http_url)
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        account = await http.sign_in(account)
        expires_at = await http.renew_room(account, room_id)
    remember(endpoints, room_id, account)
    print(f"Room {room_id} lives until {_clock(expires_at)}.")


def _clock(epoch_sec: float | None) -> str:
    return "an unknown time" if epoch_sec is None else time.strftime("%H:%M", time.localtime(epoch_sec))
