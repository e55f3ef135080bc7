"""The schema of settings and the options of the command line say the same, and the documentation too."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sleaprtc.config.schema import MANY, PROGRAMS, SETTINGS, SHARED, Kind, allowed_in

from .settings_table import TITLES, rows_of

ROOT = Path(__file__).parents[2]
NOT_IN_FILES = {"SLEAP_RTC_CONFIG_FILE"}
"""Variables of options that say nothing to a settings file."""


def commands(program):
    """The commands of a program, each with its path."""

    def walk(command, path):
        yield path, command
        if isinstance(command, click.Group):
            for name in command.list_commands(None):
                yield from walk(command.get_command(None, name), (*path, name))

    yield from walk(importlib.import_module(f"sleaprtc.{program}.__main__").main, (program,))


def options(program):
    for path, command in commands(program):
        for option in command.params:
            if isinstance(option, click.Option):
                yield path, option


def by_parameter(program):
    return {setting.parameter: setting for setting in allowed_in(program).values()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_is_an_option(program):
    known = {option.name for _, option in options(program)}
    assert set(by_parameter(program)) <= known


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_that_has_a_variable_is_a_setting(program):
    variables = {setting.variable for setting in allowed_in(program).values()}
    for path, option in options(program):
        if option.envvar is not None and option.envvar not in NOT_IN_FILES:
            assert option.envvar in variables, f"{path} --{option.name}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_they_agree(program):
    settings = by_parameter(program)
    for path, option in options(program):
        setting = settings.get(option.name)
        if setting is None:
            continue
        where = f"{' '.join(path)} --{option.name}"
        assert option.envvar == setting.variable, where
        assert option.multiple == (setting.kind in MANY), where
        assert isinstance(option.type, click.types.BoolParamType) == (setting.kind is Kind.SWITCH), where
        default = option.to_info_dict()["default"]
        if callable(option.default) or setting.default_text:
            assert setting.default_text, where
        elif default is not None:
            assert str(default) == str(list(setting.default) if option.multiple else setting.default), where
        if isinstance(option.type, click.Choice):
            assert tuple(option.type.choices) == setting.choices, where
        if isinstance(option.type, click.IntRange | click.FloatRange):
            kind = option.type
            assert (kind.min, kind.max, kind.min_open) == (setting.minimum, setting.maximum, setting.above), (
                where
            )


def test_a_name_is_one_setting_of_a_program():
    for program in ("worker", "client"):
        assert not set(SETTINGS[program]) & set(SETTINGS[SHARED])


@pytest.mark.parametrize("section", [SHARED, *PROGRAMS])
def test_the_documentation_has_every_setting(section):
    """`python -m tests.config.settings_table` prints what is to stand there."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    expected = "\n".join([f"### {TITLES[section]}", "", *rows_of(section), ""])
    assert expected in text


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_number_is_refused_in_one_sentence(program, value):
    main = importlib.import_module(f"sleaprtc.{program}.__main__").main
    numbers = [
        (path[1:], option.opts[0])
        for path, option in options(program)
        if isinstance(option.type, click.FloatRange) or option.opts[0] == "--wait"
    ]
    assert numbers
    for words, name in numbers:
        ended = CliRunner().invoke(main, [*words, f"{name}={value}"])
        assert ended.exit_code == 2, ended
        assert f"Invalid value for '{name}'" in ended.output
        assert "Traceback" not in ended.output
