"""Curves drawn with braille dots, two by four in a character: pure, lines of text out of numbers.

Of the libraries available, plotext takes a tenth of a second to import and plotille gives escape sequences
rather than text to lay out; what is needed here is less than either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import attrs
from rich.text import Text

MIN_WIDTH: Final = 30
MIN_HEIGHT: Final = 5
LOG_RATIO: Final = 10.0
"""Values that span a decade or more are drawn on a logarithmic scale."""

DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character (Unicode standard, block Braille Patterns), by column and row."""

BRAILLE: Final = 0x2800
MARK: Final = "\N{BLACK CIRCLE}"
AXIS_STYLE: Final = "bright_black"


@attrs.frozen
class Curve:
    """A line to draw.

    Attributes:
        name: Stands where it ends.
        style: Its colour, as rich has them.
        points: Positions and values, in order of position; all of them finite.
    """

    name: str
    style: str
    points: Sequence[tuple[int, float]]


@attrs.frozen
class Scale:
    """Maps values to the range from 0.0 (least) to 1.0 (greatest)."""

    low: float
    high: float
    is_logarithmic: bool

    @classmethod
    def over(cls, values: Iterable[float]) -> Scale:
        """Returns a scale on which all values are visible."""
        listed = list(values)
        low, high = min(listed), max(listed)
        # compared as a product, since a quotient of extremes is infinite
        return cls(low, high, is_logarithmic=low > 0 and low <= high / LOG_RATIO)

    def place(self, value: float) -> float:
        """Returns where a value lies; in the middle if all are equal."""
        if self.is_logarithmic:
            low, high, at = math.log10(self.low), math.log10(self.high), math.log10(value)
        else:  # halved, since a difference of extremes is infinite
            low, high, at = self.low / 2, self.high / 2, value / 2
        return 0.5 if high <= low else min(max((at - low) / (high - low), 0.0), 1.0)

    def value(self, place: float) -> float:
        """Returns the value at a place; the inverse of :meth:`place`."""
        if self.is_logarithmic:
            low, high = math.log10(self.low), math.log10(self.high)
            return float(10 ** min(low + place * (high - low), 308.0))
        return self.low * (1 - place) + self.high * place


class _Canvas:
    """Dots in a grid of characters; row 0 is the top."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]
        self._marks: dict[tuple[int, int], str] = {}

    def dot(self, column: int, row: int, style: str) -> None:
        self._bits[row // 4][column // 2] |= DOTS[column % 2][row % 4]
        self._styles[row // 4][column // 2] = style

    def vertical(self, column: int, first: int, last: int, style: str) -> None:
        for row in range(min(first, last), max(first, last) + 1):
            self.dot(column, row, style)

    def mark(self, column: int, row: int, style: str) -> None:
        self._marks[row // 4, column // 2] = style

    def row(self, row: int) -> Text:
        line = Text()
        for column in range(self.width):
            if (row, column) in self._marks:
                line.append(MARK, self._marks[row, column])
            elif self._bits[row][column]:
                line.append(chr(BRAILLE + self._bits[row][column]), self._styles[row][column])
            else:
                line.append(" ")
        return line


@attrs.frozen
class _Column:
    """What of a curve falls into one column of dots, by rows of dots."""

    first: int
    top: int
    bottom: int
    last: int


def draw_curves(
    curves: Sequence[Curve], *, width: int, height: int, mark: tuple[int, float] | None = None
) -> list[Text]:
    """Draws curves over the positions that they share, each with its name where it ends.

    Args:
        curves: Drawn one over the other, the last on top. Those without points are left out.
        width: In characters, at least :data:`MIN_WIDTH`.
        height: In lines, at least :data:`MIN_HEIGHT`; two of them are the axis.
        mark: A point to mark.

    Returns:
        ``height`` lines, none wider than ``width``.
    """
    shown = [curve for curve in curves if curve.points]
    if not shown:
        return [Text() for _ in range(height)]
    scale = Scale.over(value for curve in shown for _, value in curve.points)
    first = min(curve.points[0][0] for curve in shown)
    last = max(curve.points[-1][0] for curve in shown)
    rows = height - 2
    ticks = _ticks(scale, rows)
    tick_width = max(map(len, ticks.values()))
    name_width = max(len(curve.name) for curve in shown)
    canvas = _Canvas(width - tick_width - name_width - 3, rows)

    def dot_of(point: tuple[int, float]) -> tuple[int, int]:
        column = round((point[0] - first) / max(last - first, 1) * (2 * canvas.width - 1))
        return column, round((1 - scale.place(point[1])) * (4 * rows - 1))

    for curve in shown:
        _draw(canvas, map(dot_of, curve.points), curve.style)
    if mark is not None:
        canvas.mark(*dot_of(mark), "bold")
    names = _beside([(dot_of(curve.points[-1])[1] // 4, curve) for curve in shown], rows)
    lines = []
    for row in range(rows):
        line = Text().append(f"{ticks.get(row, ''):>{tick_width}} ", AXIS_STYLE)
        line.append("┤" if row in ticks else "│", AXIS_STYLE)
        line.append_text(canvas.row(row))
        if row in names:
            line.append(f" {names[row].name}", names[row].style)
        lines.append(line)
    return [*lines, *_axis(first, last, canvas.width, tick_width)]


def _ticks(scale: Scale, rows: int) -> dict[int, str]:
    """Values beside the rows: at top and bottom, and between them where there is room."""
    places = {0: 1.0, rows - 1: 0.0}
    if rows >= 5:
        places[rows // 2] = 1 - (rows // 2) / (rows - 1)
    if scale.low == scale.high:
        places = {rows // 2: 0.5}
    return {row: f"{scale.value(place):.2g}" for row, place in places.items()}


def _axis(first: int, last: int, width: int, tick_width: int) -> list[Text]:
    margin = " " * (tick_width + 1)
    left, right = str(first), f"epoch {last}"
    if first == last:
        left, right = right, ""
    gap = " " * max(width - len(left) - len(right), 1)
    return [
        Text(f"{margin}└{'─' * width}", AXIS_STYLE),
        Text(f"{margin} {left}{gap}{right}"[: tick_width + 2 + width], AXIS_STYLE),
    ]


def _draw(canvas: _Canvas, dots: Iterable[tuple[int, int]], style: str) -> None:
    columns: dict[int, _Column] = {}
    for column, row in dots:
        known = columns.get(column, _Column(row, row, row, row))
        columns[column] = _Column(known.first, min(known.top, row), max(known.bottom, row), row)
    previous: tuple[int, int] | None = None
    for column, rows in columns.items():
        if previous is not None:
            _connect(canvas, previous, (column, rows.first), style)
        canvas.vertical(column, rows.top, rows.bottom, style)
        previous = column, rows.last


def _connect(canvas: _Canvas, start: tuple[int, int], end: tuple[int, int], style: str) -> None:
    """Draws a line without gaps from one dot to another that is right of it."""
    row = start[1]
    for column in range(start[0], end[0] + 1):
        share = (column - start[0]) / (end[0] - start[0])
        following = round(start[1] + share * (end[1] - start[1]))
        canvas.vertical(column, row + (following > row) - (following < row), following, style)
        row = following


def _beside(wanted: Sequence[tuple[int, Curve]], rows: int) -> dict[int, Curve]:
    """Gives each name a row of its own, as near as possible to the row that it wants."""
    placed: dict[int, Curve] = {}
    for row, curve in sorted(wanted, key=lambda item: item[0]):
        free = (other for other in range(rows) if other not in placed)
        nearest = min(free, key=lambda other: (abs(other - row), -other), default=None)
        if nearest is not None:
            placed[nearest] = curve
    return placed
