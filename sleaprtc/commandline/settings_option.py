"""``--config-file``, and the settings files as the defaults of all other options."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

from ..base.printable import printable
from ..config.files import FILE_VARIABLE, SettingsFile, by_parameter, merged, read_files
from ..errors import EXIT_USAGE, SleapRTCError
from .programs import FILE_ORIGIN

_META_KEY: Final = "sleaprtc.settings-files"


class SettingsError(click.ClickException):
    """A settings file that can't be used. The command line is right, so its usage would be no help."""

    exit_code = EXIT_USAGE


def config_file_option(section: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds ``--config-file`` and makes the settings files the options' defaults.

    Args:
        section: The part of the files to use: ``worker``, ``client`` or ``server``.
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
        defaults: dict[str, object] = {name: value.value for name, value in found.items()}
        context.default_map = defaults
        if isinstance(context.command, click.Group):
            context.default_map = _GroupDefaults(defaults, context.command, context)

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


class _GroupDefaults(UserDict[str, object]):
    """Defaults as click looks them up: a group's own, and under the name of each of its commands theirs.

    A command is looked at when its defaults are asked for, by when click has loaded it.
    """

    def __init__(self, defaults: Mapping[str, object], group: click.Group, context: click.Context) -> None:
        super().__init__(defaults)
        self._defaults = defaults
        self._group = group
        self._context = context

    def __getitem__(self, name: str) -> object:
        command = self._group.get_command(self._context, name)
        return super().__getitem__(name) if command is None else self._of(command)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._group.list_commands(self._context)

    def _of(self, command: click.Command) -> Mapping[str, object]:
        if isinstance(command, click.Group):
            return _GroupDefaults(self._defaults, command, self._context)
        return self._defaults
