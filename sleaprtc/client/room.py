"""A client's presence in a room, for as long as a command needs it."""

from __future__ import annotations

import getpass
import importlib.metadata
import platform
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import attrs

from .._version import __version__
from ..access import joined_room
from ..access.joined_room import RememberedRoom
from ..access.made_rooms import owner
from ..access.renewal import keep_room_open
from ..base.exception_groups import single_error
from ..base.nurseries import keep_running, open_outliving_nursery
from ..base.sentences import as_sentence
from ..errors import RoomExpiredError, RoomNotFoundError, StorageError, UsageError
from ..jobs.properties import CLIENT_ROLE, CLIENT_TAG, COMMON_TAG, ClientProperties, as_json
from ..protocol.messages import Metadata
from ..signaling.http import Endpoints, Room, open_http
from ..signaling.link import Link, Membership, open_link
from .inbox import Inbox


def installed_sleap_version() -> str | None:
    """The version of sleap-nn in this environment; most laptops that only send labels have none."""
    try:
        return importlib.metadata.version("sleap-nn")
    except importlib.metadata.PackageNotFoundError:
        return None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def client_metadata() -> Metadata:
    """What a client says of itself in the room (protocol reference, "Client metadata")."""
    properties = ClientProperties(
        sleap_version=installed_sleap_version(),
        sleap_rtc_version=__version__,
        platform=platform.system().lower(),
        user_id=_user_name(),
    )
    return Metadata((COMMON_TAG, CLIENT_TAG), as_json(properties))


def new_client_name() -> str:
    """A name that no other client has: a person may run several at once."""
    return f"client-{socket.gethostname()[:64]}-{secrets.token_hex(4)}"


@asynccontextmanager
async def open_room(
    endpoints: Endpoints,
    room: Room | None,
    *,
    on_change: Callable[[str], None],
    to_remember: RememberedRoom | None = None,
) -> AsyncIterator[tuple[Link, Inbox]]:
    """Signs in, joins, and sorts what arrives until the block is left.

    A room that was made here is kept open meanwhile. A failure of that costs some seconds of it.

    Args:
        endpoints: The signaling server.
        room: Which room; None is an error that says what to do.
        on_change: Told what happens, in sentences.
        to_remember: The room where it is to be kept for later commands, once the server has let us in.

    Raises:
        UsageError: No room is given.
        SignalingUnreachableError: The server doesn't answer.
        RefusedError: The server doesn't let the client in, or ends its stay.
    """
    if room is None:
        raise UsageError(_which_room())
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        account = await http.sign_in()
    membership = Membership(endpoints, room, new_client_name(), CLIENT_ROLE, client_metadata())
    with _advice_on_a_lost_room(endpoints, room), single_error():
        async with (
            open_link(membership, account, on_change=on_change) as link,
            open_outliving_nursery() as nursery,
        ):
            if to_remember is not None:
                on_change(_remembered(to_remember))
            inbox = Inbox(link)
            nursery.start_soon(inbox.run, on_change)
            maker = owner(room.room_id, endpoints.http_url)
            if maker is not None:
                expiring = attrs.evolve(room, expires_at=link.expires_at)
                renewal = (endpoints, maker, expiring)
                nursery.start_soon(keep_running, "The room can't be kept open.", keep_room_open, *renewal)
            yield link, inbox


def _which_room() -> str:
    """What to say where no room is given, nor one that was joined on the server that is."""
    sentence = (
        "Which room? `sleap-rtc join INVITE` joins one for all later commands; a single command takes "
        "--invite or SLEAP_RTC_INVITE (or --room and --token)."
    )
    joined = joined_room.load()
    if joined is None:
        return sentence
    name, server = joined.room.room_id, joined.endpoints.http_url
    return f"{sentence} Room {name}, which was joined here, is on another server than the one set: {server}."


def _remembered(joined: RememberedRoom) -> str:
    """Keeps a room for later commands, and says so."""
    name = f"room {joined.room.room_id}"
    try:
        is_new = joined_room.remember(joined)
    except StorageError as error:
        return f"{as_sentence(error)} So {name} isn't remembered."
    if is_new:
        return (
            f"Joined {name}: later commands here need no --invite, which everyone on this machine can read "
            "while a command runs."
        )
    return (
        f"Warning: everyone on this machine can read --invite, which isn't needed any more: {name} was "
        "joined before."
    )


@contextmanager
def _advice_on_a_lost_room(endpoints: Endpoints, room: Room) -> Iterator[None]:
    """Says what to do about a room that isn't there, or isn't there any more."""
    try:
        yield
    except (RoomNotFoundError, RoomExpiredError) as error:
        advice = "Ask whoever made the room for a new invite."
        joined = joined_room.load()
        if joined is not None and joined.is_room(endpoints, room):
            advice = (
                "It is the room that was joined here: ask for a new invite and run `sleap-rtc join INVITE`, "
                "or forget it with `sleap-rtc join --forget`."
            )
        raise type(error)(f"{error} {advice}") from error


def room_end_notice(link: Link) -> str | None:
    """What to know when leaving a job in a room that was made here, and that nobody else renews."""
    membership, ends_at = link.membership, link.expires_at
    room_id = membership.room.room_id
    if ends_at is None or owner(room_id, membership.endpoints.http_url) is None:
        return None
    clock = time.strftime("%H:%M", time.localtime(ends_at))
    return f"The room ends at {clock} unless it is renewed: sleap-rtc client room renew {room_id}"
