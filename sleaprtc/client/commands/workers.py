"""``client workers``: who is in the room."""

from __future__ import annotations

import functools

import click

from ...access.place import PeerOptions
from ...commandline.options import room_options
from ...commandline.run import run
from ..jobs.order.filters import WhichWorker
from .common import HELP, filter_options, json_option


@click.command(context_settings=HELP)
@room_options
@filter_options
@json_option
def workers(peer: PeerOptions, which: WhichWorker, as_json: bool) -> None:
    """List the workers in the room, or only those that meet the conditions."""
    from ..actions.workers import list_workers

    run(functools.partial(list_workers, peer, which.filters, as_json=as_json), as_json=as_json)
