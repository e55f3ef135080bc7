"""``python -m sleaprtc.client``: makes rooms, finds workers, trains models."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import click

from ..config_options import (
    access_of,
    config_file_option,
    connection_of,
    connection_options,
    endpoints_of,
    peer_options,
    room_options,
    server_options,
)
from ..entrypoint import run
from ..invite import Invite, export_lines
from ..jobs.negotiation import SelectionRule
from ..programs import ProgramGroup
from ..protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from ..rtc.secret import RoomSecret
from ..signaling.http import Room, open_http
from ..terminal import log_to_standard_error
from .filters import worker_filters

COMMANDS: Final = (("room", "create"), ("room", "renew"), ("workers",), ("train",), ("attach",), ("jobs",))
_HELP = {"help_option_names": ["-h", "--help"]}


def _filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--tag", "tags", multiple=True, help="A tag the worker must have; repeatable."),
        click.option(
            "--property",
            "conditions",
            multiple=True,
            metavar="'KEY>=VALUE'",
            help="A condition on a worker's property: = != > >= < <=. Can be repeated.",
        ),
        click.option("--min-gpu-memory-mb", type=click.FloatRange(min=0), help="GPU memory it must have."),
    ):
        command = option(command)
    return command


_json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="JSON lines on standard output, all else on standard error.",
)


@click.group(cls=ProgramGroup, context_settings=_HELP)
@config_file_option("client", subcommands=COMMANDS)
@click.option("-v", "--verbose", is_flag=True, help="Say more about what happens, on standard error.")
def main(verbose: bool) -> None:
    """Make rooms, find workers, train models."""
    log_to_standard_error(logging.DEBUG if verbose else logging.ERROR)


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _run(command: Callable[[], Awaitable[None]], as_json: bool) -> NoReturn:
    def report(code: str, sentence: str, exit_status: int) -> None:
        ended = {"event": "error", "code": code, "message": sentence, "exit_status": exit_status}
        print(json.dumps(ended), flush=True)

    run(command, on_error=report if as_json else None)


def _clock(epoch_sec: float | None) -> str:
    return "an unknown time" if epoch_sec is None else time.strftime("%H:%M", time.localtime(epoch_sec))


def _filters(given: Mapping[str, Any]) -> dict[str, Any]:
    return worker_filters(
        min_gpu_memory_mb=given["min_gpu_memory_mb"],
        conditions=given["conditions"],
        tags=given["tags"],
    )


# --- rooms ----------------------------------------------------------------------------------


@main.group(context_settings=_HELP)
def room() -> None:
    """Make rooms, in which workers and clients meet."""


@room.command("create")
@server_options
@click.option(
    "--no-secret",
    is_flag=True,
    help="For peers of other makes that know no secret; the signaling server is trusted then.",
)
@_json_option
def room_create(no_secret: bool, as_json: bool, **given: Any) -> None:
    """Make a room and print what workers and clients need to join it: the first line is enough.

    It has a secret that the signaling server never sees, by which workers and clients know each other.

    It lives for two hours, and for as long as `train` or `attach` runs in it here; `room renew` gives it
    two more.
    """
    from .own_rooms import remember

    async def command() -> None:
        endpoints = endpoints_of(given)
        async with open_http(endpoints.http_url, endpoints.ca_file) as http:
            account = await http.sign_in()
            made = await http.create_room(account)
        remember(endpoints, made, account)
        secret = None if no_secret else RoomSecret.generate()
        if as_json:
            shown = (
                {"secret": secret.text, "invite": Invite(endpoints, made, secret).line()} if secret else {}
            )
            print(json.dumps(attrs.asdict(made) | shown))
            return
        for line in export_lines(endpoints, made, secret):
            print(line)
        print(f"# until {_clock(made.expires_at)}; `room renew` prolongs it")

    _run(command, as_json)


@room.command("renew")
@click.argument("room_id", metavar="ROOM", envvar="SLEAP_RTC_ROOM_ID")
@server_options
def room_renew(room_id: str, **given: Any) -> None:
    """Give ROOM, made here before, its full time again."""
    from .own_rooms import known_owner, remember

    async def command() -> None:
        endpoints = endpoints_of(given)
        account = known_owner(room_id, endpoints.http_url)
        async with open_http(endpoints.http_url, endpoints.ca_file) as http:
            account = await http.sign_in(account)
            expires_at = await http.renew_room(account, room_id)
        remember(endpoints, Room(room_id, ""), account)
        print(f"Room {room_id} lives until {_clock(expires_at)}.")

    _run(command, as_json=False)


# --- workers --------------------------------------------------------------------------------


@main.command(context_settings=_HELP)
@room_options
@_filter_options
@_json_option
def workers(as_json: bool, **given: Any) -> None:
    """List the workers in the room that fit."""
    from .events import summarize
    from .room import open_room

    async def command() -> None:
        filters = _filters(given)
        access = access_of(given)
        async with open_room(access.endpoints, access.room, on_change=_to_stderr) as (link, _):
            found = tuple(summarize(peer) for peer in await link.discover(filters))
        if as_json:
            for worker in found:
                print(json.dumps(attrs.asdict(worker)))
        else:
            from .display import print_table, workers_table

            if found:
                print_table(workers_table(found))
            else:
                print("No worker in the room fits.")

    _run(command, as_json)


# --- train ----------------------------------------------------------------------------------


@main.command(context_settings=_HELP)
@click.argument("dataset", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    "out_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Where models go.",
)
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A sleap-nn YAML or SLEAP JSON configuration; one a model, in order.",
)
@click.option(
    "--model-type",
    type=click.Choice(["base", "centroid", "topdown", "bottomup"]),
    help="What to train.  [default: what suits the labels]",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Most epochs for each model.")
@click.option("--batch-size", type=click.IntRange(1, 4096), help="Frames, or crops, a step.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Of the optimizer.")
@click.option("--worker", metavar="NAME", help="Ask only this worker.")
@click.option(
    "--select",
    "rule",
    type=click.Choice([rule.value for rule in SelectionRule]),
    default=SelectionRule.FASTEST.value,
    show_default=True,
    help="Who of those that accept gets the job.",
)
@click.option(
    "--response-timeout",
    type=click.FloatRange(min=0.1),
    default=JOB_RESPONSE_TIMEOUT_SEC,
    show_default=True,
    metavar="SEC",
    help="How long to wait for answers.",
)
@room_options
@connection_options
@_filter_options
@_json_option
def train(as_json: bool, **given: Any) -> None:
    """Train DATASET on a worker and bring the models home.

    DATASET is a labels file with its images (.pkg.slp), or a training job package exported from SLEAP (.zip).
    """
    from .display import open_display
    from .room import until_interrupted
    from .train import train_on_a_worker

    async def command() -> None:
        given_settings = ("model_type", "epochs", "batch_size", "learning_rate")
        settings = {key: given[key] for key in given_settings if given[key] is not None}
        with open_display(as_json=as_json) as emit:
            train_it = functools.partial(
                train_on_a_worker,
                given["dataset"],
                out_dir=given["out_dir"],
                options=peer_options(given),
                configs=given["configs"],
                settings=settings,
                filters=_filters(given),
                min_gpu_memory_mb=given["min_gpu_memory_mb"] or 0,
                worker=given["worker"],
                rule=SelectionRule(given["rule"]),
                response_timeout_sec=given["response_timeout"],
                emit=emit,
            )
            await until_interrupted(train_it)

    _run(command, as_json)


# --- jobs of before -------------------------------------------------------------------------


@main.command(context_settings=_HELP)
@click.argument("job", metavar="JOB")
@connection_options
@_json_option
def attach(job: str, as_json: bool, **given: Any) -> None:
    """Take up JOB again: what was missed, how it goes on, and its model.

    JOB is a job's id, or how it begins; `jobs` lists them. Ctrl-C leaves the job running.
    """
    from .attach import attach_to_job
    from .display import open_display
    from .records import find
    from .room import until_interrupted

    async def command() -> None:
        connection = connection_of(given)
        with open_display(as_json=as_json) as emit:
            await until_interrupted(
                functools.partial(attach_to_job, find(job), connection=connection, emit=emit)
            )

    _run(command, as_json)


@main.command(context_settings=_HELP)
@_json_option
def jobs(as_json: bool) -> None:
    """List the jobs that were begun here, the newest first."""
    from .display import jobs_table, print_table
    from .records import load_all, public_fields

    async def command() -> None:
        records = load_all()
        if as_json:
            for record in records:
                print(json.dumps(public_fields(record)))
        elif records:
            print_table(jobs_table(records))
        else:
            print("No jobs yet.")

    _run(command, as_json)


if __name__ == "__main__":
    main()
