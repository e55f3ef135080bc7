"""``client workers``."""

from __future__ import annotations

import attrs

from ...access.place import PeerOptions
from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...commandline.run import to_standard_error
from ...jobs.properties import problem_sentences
from ..display import print_table, workers_table
from ..events.job import summarize
from ..jobs.order.filters import WorkerFilters
from ..room import open_room


async def list_workers(peer: PeerOptions, filters: WorkerFilters, *, as_json: bool) -> None:
    """Prints the workers in the room that fit."""
    async with open_room(
        peer.endpoints, peer.room, on_change=to_standard_error, to_remember=peer.to_remember
    ) as (link, _):
        found = tuple(summarize(worker) for worker in await link.discover(filters.as_json()))
    if as_json:
        for worker in found:
            print_json(attrs.asdict(worker))
    elif found:
        print_table(workers_table(found))
        for worker in found:
            for sentence in problem_sentences(worker.problems):
                print(printable(f"{worker.worker}: {sentence}"))
    else:
        is_any_meant = filters == WorkerFilters()
        print("There is no worker in the room." if is_any_meant else "No worker in the room fits.")
