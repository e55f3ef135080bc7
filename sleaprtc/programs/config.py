"""``sleap-rtc config``: what is set, and where."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import click

from ..access import joined_room
from ..base.printable import printable
from ..commandline.json_lines import print_json
from ..commandline.programs import ProgramGroup
from ..commandline.settings_option import SettingsError
from ..config.files import (
    FILE_VARIABLE,
    PROJECT_FILE_NAME,
    SettingsFile,
    belongs_to_somebody_else,
    is_there,
    places,
    read_files,
    working_dir,
)
from ..config.origins import Origin, Resolved, Source, resolve, shown
from ..config.schema import PROGRAMS, SETTINGS, SHARED
from ..errors import UsageError

HELP: Final = {"help_option_names": ["-h", "--help"]}
ADDRESSES: Final = ("signaling_ws", "signaling_http", "tls_ca")
COMMENT_COLUMN: Final = 44

_config_file_option = click.option(
    "--config-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=FILE_VARIABLE,
    help="Read only this file.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines on standard output.")


@click.group(cls=ProgramGroup, context_settings=HELP)
def main() -> None:
    """Show what is set, and where.

    An option on the command line comes first, then its environment variable, then the project's file
    (sleap-rtc.toml in the working directory or above it), then the user's own, then the room that was joined.
    """


@main.command(context_settings=HELP)
@_config_file_option
@_json_option
def show(as_json: bool, config_file: Path | None) -> None:
    """Show every setting of every program, and where its value comes from.

    The output is a valid settings file. Secrets are left out.
    """
    try:
        files, warnings = read_files(config_file)
        found = {program: _resolved(program, files) for program in PROGRAMS}
    except UsageError as error:
        raise SettingsError(printable(str(error))) from error
    for warning in warnings:
        click.echo(f"Warning: {printable(warning)}", err=True)
    if as_json:
        for of_program in found.values():
            for resolved in of_program.values():
                print_json(_fields(resolved))
    else:
        for line in _toml_lines(found):
            click.echo(printable(line))


@main.command(context_settings=HELP)
@_config_file_option
@_json_option
def path(as_json: bool, config_file: Path | None) -> None:
    """List where settings files are looked for, highest precedence first."""
    for what, where in [*places(config_file), ("room", joined_room.path())]:
        remark = _remark(what, where)
        if as_json:
            print_json(
                {"what": what, "path": None if where is None else str(where), "is_read": remark is None}
            )
        else:
            shown_path = (
                f"none in {working_dir() or 'no folder'} or above it" if where is None else str(where)
            )
            said = "" if remark is None or where is None else f" ({remark})"
            click.echo(printable(f"{what:8} {shown_path}{said}"))


def _remark(what: str, where: Path | None) -> str | None:
    """Why a file isn't read; None if it is."""
    if where is None:
        return f"no {PROJECT_FILE_NAME}"
    if what != "given" and not is_there(where):
        return "not there"
    if what == "project" and belongs_to_somebody_else(where):
        return "belongs to somebody else, and isn't read"
    return None


def _resolved(program: str, files: list[SettingsFile]) -> dict[str, Resolved]:
    """A program's settings; those for the room come from the source that names it."""
    found = resolve(program, os.environ, files)
    if program == "server":
        return found
    from ..access.choice import ROOM_SETTINGS, chosen_room, weaker_sources

    chosen = chosen_room(list(weaker_sources(os.environ, files, program)))
    for name in ROOM_SETTINGS:
        if name in chosen:
            found[name] = attrs.evolve(found[name], value=chosen[name])
        else:
            found[name] = attrs.evolve(found[name], value=None, origin=Origin(Source.DEFAULT))
    if chosen.get("invite"):
        from ..access.invite import Invite

        endpoints = Invite.parse(chosen["invite"]).endpoints
        _put(found, Source.INVITE, signaling_ws=endpoints.ws_url, signaling_http=endpoints.http_url)
    elif not chosen:
        _put_remembered(found)
    return found


def _put(found: dict[str, Resolved], source: Source, **values: str) -> None:
    for name, value in values.items():
        found[name] = attrs.evolve(found[name], value=value, origin=Origin(source))


def _put_remembered(found: dict[str, Resolved]) -> None:
    """Adds the room joined on this machine, unless it is on another server than the one that is set."""
    joined = joined_room.load()
    if joined is None:
        return
    is_named = any(found[name].origin.source is not Source.DEFAULT for name in ADDRESSES[:2])
    if is_named and not joined.is_at(found["signaling_ws"].value, found["signaling_http"].value):
        return
    _put(
        found,
        Source.REMEMBERED,
        signaling_ws=joined.endpoints.ws_url,
        signaling_http=joined.endpoints.http_url,
        room=joined.room.room_id,
        token=joined.room.token,
    )
    if joined.secret is not None:
        _put(found, Source.REMEMBERED, secret=joined.secret.text)
    if joined.endpoints.ca_file is not None and found["tls_ca"].value is None:
        _put(found, Source.REMEMBERED, tls_ca=joined.endpoints.ca_file)


def _fields(resolved: Resolved) -> dict[str, object]:
    return {
        "program": resolved.program,
        "setting": resolved.setting.name,
        "value": shown(resolved),
        "is_set": resolved.origin.source is not Source.DEFAULT,
        "source": resolved.origin.source.value,
        "variable": resolved.origin.variable,
        "file": resolved.origin.file,
        "line": resolved.origin.line,
    }


def _toml_lines(found: dict[str, dict[str, Resolved]]) -> Iterator[str]:
    """Yields a settings file: first what is the same for worker and client, then a section per program."""
    yield "# for worker and client"
    for name in SETTINGS[SHARED]:
        if _is_same(found["worker"][name], found["client"][name]):
            yield _toml_line(found["worker"][name])
    for program, of_program in found.items():
        yield ""
        yield f"[{program}]"
        for name, resolved in of_program.items():
            is_shared = program != "server" and name in SETTINGS[SHARED]
            if not is_shared or not _is_same(found["worker"][name], found["client"][name]):
                yield _toml_line(resolved)


def _is_same(one: Resolved, other: Resolved) -> bool:
    return (one.value, one.origin) == (other.value, other.origin)


def _toml_line(resolved: Resolved) -> str:
    setting, value = resolved.setting, shown(resolved)
    comment = resolved.origin.phrase()
    if value is None and resolved.value is not None:
        assignment = f"# {setting.name} is set, and secret"
    elif value is None:
        assignment = f"# {setting.name} ="
        comment = f"default: {setting.default_text}" if setting.default_text else "not set"
    else:
        assignment = f"{setting.name} = {_toml_value(value)}"
    return f"{assignment:{COMMENT_COLUMN}}  # {comment}"


def _toml_value(value: object) -> str:
    """Writes a value as JSON, whose strings, numbers, booleans and lists are TOML's too."""
    return json.dumps(value, ensure_ascii=False)
