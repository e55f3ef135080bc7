"""``client workers``: who is in the room."""

from __future__ import annotations

from typing import Any

import attrs
import click

from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...commandline.options import access_of, room_options
from .common import HELP, filter_options, filters_of, json_option, run_command, to_standard_error


@click.command(context_settings=HELP)
@room_options
@filter_options
@json_option
def workers(as_json: bool, **given: Any) -> None:
    """List the workers in the room that fit."""
    from ...jobs.properties import problem_sentences
    from ..events.job import summarize
    from ..jobs.filters import worker_filters
    from ..room import open_room

    async def command() -> None:
        filters = filters_of(given)
        access = access_of(given)
        async with open_room(
            access.endpoints, access.room, on_change=to_standard_error, to_remember=access.to_remember
        ) as (link, _):
            found = tuple(summarize(peer) for peer in await link.discover(filters))
        if as_json:
            for worker in found:
                print_json(attrs.asdict(worker))
        else:
            from ..display import print_table, workers_table

            if found:
                print_table(workers_table(found))
                for worker in found:
                    for sentence in problem_sentences(worker.problems):
                        print(printable(f"{worker.worker}: {sentence}"))
            else:
                is_any_meant = filters == worker_filters()
                print("There is no worker in the room." if is_any_meant else "No worker in the room fits.")

    run_command(command, as_json)
