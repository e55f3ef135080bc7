"""Numbers on the command line."""

from __future__ import annotations

import math
from typing import Any, Final

import click

from ..base.byte_rates import parse_rate
from ..errors import UsageError


class FiniteRange(click.FloatRange):
    """A range of numbers. ``nan`` and ``inf``, which Python reads as numbers too, are in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the number; ends the command otherwise."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to work with.", param, ctx)
        return number


class ByteRate(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.3
    """A limit in bytes a second, such as ``2M``; None for ``none``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Returns the rate; ends the command if it is none."""
        try:
            return parse_rate(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _parse_argument(context: click.Context, argument: click.Parameter, text: str) -> float | None:
    return ByteRate().convert(text, argument, context)


rate_argument: Final = click.argument("bytes_per_sec", metavar="RATE", callback=_parse_argument)
"""A limit that has to be given. A callback, since click would take the None of ``none`` for a missing one."""
