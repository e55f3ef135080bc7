"""The log options that every program has."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..base.logs import FORMATS, HUMAN, LEVELS, log_to_standard_error

Command = TypeVar("Command", bound=Callable[..., Any])


def log_options(command: Command) -> Command:
    """Adds ``--log-format`` and ``--log-level``, whose values :func:`start_log` takes."""
    for option in (
        click.option(
            "--log-level",
            type=click.Choice(LEVELS),
            envvar="SLEAP_RTC_LOG_LEVEL",
            help="How much is logged on standard error.",
        ),
        click.option(
            "--log-format",
            type=click.Choice(FORMATS),
            default=HUMAN,
            envvar="SLEAP_RTC_LOG_FORMAT",
            show_default=True,
            help="Lines for people, or JSON; auto is human on a terminal and json elsewhere.",
        ),
    ):
        command = option(command)
    return command


def start_log(log_format: str, log_level: str | None, default_level: int, *, verbose: bool = False) -> None:
    """Starts the log; ``--verbose`` is another name for the level ``debug``."""
    level = logging.DEBUG if verbose else default_level
    log_to_standard_error(level if log_level is None else getattr(logging, log_level.upper()), log_format)
    if default_level <= logging.INFO:
        # A program that keeps running: its first record may be that it can't open any more files.
        importlib.import_module("structlog")
