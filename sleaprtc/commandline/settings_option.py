"""``--config-file``, and the settings files as what the other options are by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..base.printable import printable
from ..config.files import FILE_VARIABLE, SettingsFile, by_parameter, merged, read_files
from ..errors import EXIT_USAGE, SleapRTCError
from .programs import FILE_ORIGIN

Command = TypeVar("Command", bound=Callable[..., Any])

_META_KEY: Final = "sleaprtc.settings-files"


class SettingsError(click.ClickException):
    """A settings file that can't be used: the command was typed right, so its usage would be no help."""

    exit_code = EXIT_USAGE


def config_file_option(section: str) -> Callable[[Command], Command]:
    """Adds ``--config-file`` and makes the settings files the options' defaults.

    Args:
        section: Which part of the files holds here.
    """

    def use(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        try:
            files, warnings = read_files(value)
        except SleapRTCError as error:
            raise SettingsError(printable(str(error))) from error
        for warning in warnings:
            click.echo(f"Warning: {printable(warning)}", err=True)
        context.meta[_META_KEY] = (section, files)
        found = by_parameter(merged(files, section), section)
        context.meta[FILE_ORIGIN] = lambda name: found[name].place if name in found else None
        defaults = {name: value.value for name, value in found.items()}
        context.default_map = _default_map(defaults, context.command)

    return click.option(
        "--config-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar=FILE_VARIABLE,
        is_eager=True,
        expose_value=False,
        callback=use,
        help="Settings in TOML, read instead of sleap-rtc.toml and the user's own.",
    )


def files_of(context: click.Context) -> tuple[str, list[SettingsFile]]:
    """The program that a command belongs to, and its settings files, the strongest first."""
    found: tuple[str, list[SettingsFile]] = context.meta.get(_META_KEY, ("client", []))
    return found


def _default_map(defaults: dict[str, Any], command: click.Command) -> dict[str, Any]:
    """Arranges defaults as click looks them up: a group's own, and below the names of its commands theirs."""
    if not isinstance(command, click.Group):
        return defaults
    return defaults | {name: _default_map(defaults, inner) for name, inner in command.commands.items()}
