"""What a worker that has made a room prints for the people who will use it."""

from __future__ import annotations

import shlex
import sys

import trio

from ..access.address import is_only_local, own_address, reached_from_outside
from ..access.invite import Invite, export_lines
from ..commandline.qr import qr_for
from ..rtc.secret import RoomSecret
from ..signaling.http import Account, Endpoints, Room


async def say_how_to_join(
    endpoints: Endpoints, account: Account, room: Room, secret: RoomSecret | None, *, with_qr: bool
) -> None:
    """Prints one line to paste on the machine with the labels. Nothing else is needed there."""
    shared, remark = await _shared_endpoints(endpoints, account)
    invite = None if secret is None else Invite(shared, room, secret).line()
    if invite is None:
        print("Give this to whoever trains here, and to other workers:", flush=True)
        for line in export_lines(shared, room, secret):
            print(f"  {line}", flush=True)
    else:
        picture = qr_for(invite, sys.stdout) if with_qr else None
        if picture is not None:
            print(picture, flush=True)
        print("To train here, paste this on the machine with the labels:", flush=True)
        print(f"\n  {paste_line(invite)}\n", flush=True)
    print("Keep it private: whoever has it can use this worker.", flush=True)
    if remark:
        print(remark, flush=True)


def paste_line(invite: str) -> str:
    """Returns the command that trains with an invite."""
    return f"sleap-rtc client train labels.pkg.slp --invite {shlex.quote(invite)}"


async def _shared_endpoints(endpoints: Endpoints, account: Account) -> tuple[Endpoints, str]:
    """Returns addresses that others can use, and a remark if those differ from the given ones."""
    if not (is_only_local(endpoints.ws_url) or is_only_local(endpoints.http_url)):
        return endpoints, ""
    address = await trio.to_thread.run_sync(own_address)
    if address is not None:
        outside = await reached_from_outside(endpoints, account, address)
        if outside is not None:
            return outside, f"The server is on this machine, which others reach as {address}."
    return endpoints, (
        f"It works on this machine only: the server's address is {endpoints.http_url}, which can't be "
        "reached from outside. For other machines, start `sleap-rtc server` with --host 0.0.0.0, and "
        "then restart this worker."
    )
