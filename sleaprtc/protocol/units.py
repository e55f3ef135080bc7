"""The units of numbers in job messages, each with its range.

A field's type names its unit, as in ``frame_megapixels: Megapixels | None``. The codec checks the range of
each number as it arrives.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin, get_type_hints

import attrs

from .limits import (
    MAX_BATCH_SIZE,
    MAX_COUNT,
    MAX_DURATION_SEC,
    MAX_EPOCHS,
    MAX_LEARNING_RATE,
    MAX_MEGAPIXELS,
    MAX_SAFE_INTEGER,
    MAX_SIZE_MB,
    MAX_UNIX_TIME,
    MIN_LEARNING_RATE,
    MIN_MEGAPIXELS,
)

NOT_KNOWN: Final = -1
"""The number that many programs write if they don't know the real one."""


@attrs.frozen
class Range:
    """The numbers that are valid for a unit.

    Attributes:
        least: The smallest, apart from ``zero``.
        most: The largest.
        zero: Whether 0 is valid, too. It means "none" or "unknown".
    """

    least: float
    most: float
    zero: bool = False

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | float) or (isinstance(number, float) and not math.isfinite(number)):
            return False
        return self.least <= number <= self.most or (self.zero and number == 0)

    def __str__(self) -> str:
        return f"{'0 or ' if self.zero else ''}{_in_words(self.least)} to {_in_words(self.most)}"


def _in_words(number: float) -> str:
    return f"{number:,}" if abs(number) >= 1 and abs(number) < 1e16 else f"{number:g}"


EPOCHS: Final = Range(1, MAX_EPOCHS)
BATCH_SIZE: Final = Range(1, MAX_BATCH_SIZE)
LEARNING_RATE: Final = Range(MIN_LEARNING_RATE, MAX_LEARNING_RATE)
PROBABILITY: Final = Range(0, 1)

Count: TypeAlias = Annotated[int, Range(0, MAX_COUNT)]
SequenceNumber: TypeAlias = Annotated[int, Range(0, MAX_SAFE_INTEGER)]
ByteOffset: TypeAlias = Annotated[int, Range(0, MAX_SAFE_INTEGER)]
SizeMb: TypeAlias = Annotated[float, Range(0, MAX_SIZE_MB)]
Megapixels: TypeAlias = Annotated[float, Range(MIN_MEGAPIXELS, MAX_MEGAPIXELS, zero=True)]
PerSec: TypeAlias = Annotated[float, Range(0, MAX_COUNT)]
Milliseconds: TypeAlias = Annotated[float, Range(0, MAX_DURATION_SEC * 1000)]
Seconds: TypeAlias = Annotated[float, Range(0, MAX_DURATION_SEC)]
Minutes: TypeAlias = Annotated[float, Range(0, MAX_DURATION_SEC / 60)]
UnixTime: TypeAlias = Annotated[float, Range(0, MAX_UNIX_TIME)]
Utilization: TypeAlias = Annotated[float, Range(0, 100)]
"""0.0 to 1.0 in the protocol. Up to 100 is accepted, since some peers may send percentages."""


def range_of(kind: Any) -> Range | None:
    """Returns the range of ``Unit`` or of ``Unit | None``; None for any other type."""
    if get_origin(kind) is Annotated:
        return next((part for part in get_args(kind)[1:] if isinstance(part, Range)), None)
    return next((found for part in get_args(kind) if (found := range_of(part)) is not None), None)


def is_unit(kind: Any) -> bool:
    """Whether a type is one of the units above."""
    return get_origin(kind) is Annotated and range_of(kind) is not None


def ranges_of(cls: type[Any]) -> dict[str, Range]:
    """Returns the ranges of a class's fields, by their names."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: found for name, kind in hints.items() if (found := range_of(kind)) is not None}
