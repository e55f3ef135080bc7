"""What can be seen of any curves."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc.client.display.curves import BRAILLE, MARK, MIN_HEIGHT, MIN_WIDTH, Curve, Scale, draw_curves

values = st.floats(allow_nan=False, allow_infinity=False)
series = st.lists(values, max_size=60).map(lambda losses: list(enumerate(losses, start=1)))
sizes = st.tuples(st.integers(MIN_WIDTH, 200), st.integers(MIN_HEIGHT, 40))


def has_dots(char: str) -> bool:
    return BRAILLE < ord(char) <= BRAILLE + 0xFF


def plot_of(line: str) -> str:
    """What is drawn on a line, without the tick before it."""
    return line.partition("┤")[2] or line.partition("│")[2]


@given(train=series, val=series, size=sizes)
@example(train=[(1, 5e-324)], val=[(1, 0.0)], size=(30, 5))
@example(train=[(1, 1.7e308), (2, -1.7e308)], val=[], size=(30, 5))
def test_any_curves_fit_into_their_place(
    train: list[tuple[int, float]], val: list[tuple[int, float]], size: tuple[int, int]
) -> None:
    width, height = size
    lines = draw_curves([Curve("train", "", train), Curve("val", "", val)], width=width, height=height)
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    assert all(line.plain.isprintable() for line in lines)
    drawn = "".join(plot_of(line.plain) for line in lines)
    assert any(map(has_dots, drawn)) == bool(train or val)
    assert ("train" in drawn) == bool(train)
    assert (" val" in drawn) == bool(val)


@given(series.filter(bool), sizes)
def test_every_column_of_a_curve_has_a_dot(points: list[tuple[int, float]], size: tuple[int, int]) -> None:
    lines = [line.plain for line in draw_curves([Curve("", "", points)], width=size[0], height=size[1])]
    plots = [plot_of(line) for line in lines[:-2]]
    columns = [any(has_dots(plot[column]) for plot in plots) for column in range(min(map(len, plots)) - 1)]
    assert all(columns) if len(points) > 1 else columns[0]


@given(st.lists(values, min_size=1))
def test_a_scale_keeps_the_order(losses: list[float]) -> None:
    scale = Scale.over(losses)
    places = [scale.place(loss) for loss in sorted(losses)]
    assert all(0.0 <= place <= 1.0 for place in places)
    assert places == sorted(places)


@given(st.lists(st.floats(1e-12, 1e12), min_size=2))
def test_a_decade_makes_a_scale_logarithmic(losses: list[float]) -> None:
    scale = Scale.over(losses)
    assert scale.is_logarithmic == (max(losses) / 10 >= min(losses))
    if scale.is_logarithmic:
        assert math.isclose(scale.value(scale.place(losses[0])), losses[0], rel_tol=1e-9)


def test_a_falling_curve_falls() -> None:
    points = [(epoch, 1 / epoch) for epoch in range(1, 100)]
    lines = [line.plain for line in draw_curves([Curve("train", "", points)], width=80, height=12)]
    plots = [plot_of(line) for line in lines[:-2]]
    assert has_dots(plots[0][0])
    assert plots[-1].endswith(" train")
    assert has_dots(plots[-1].removesuffix(" train")[-1])
    tops = [next(row for row, plot in enumerate(plots) if has_dots(plot[column])) for column in range(60)]
    assert tops == sorted(tops)
    assert (lines[0].split("┤")[0].strip(), lines[-3].split("┤")[0].strip()) == ("1", "0.01")
    assert lines[-1].split() == ["1", "epoch", "99"]


def test_thousands_of_epochs_and_the_best_of_them() -> None:
    points = [(epoch, math.sin(epoch / 50) + 2) for epoch in range(1, 20_001)]
    lines = draw_curves([Curve("val", "", points)], width=70, height=10, mark=(10_000, 1.0))
    marked = [line.plain for line in lines if MARK in line.plain]
    assert len(marked) == 1
    assert abs(plot_of(marked[0]).index(MARK) - 30) < 3


def test_names_of_curves_that_end_together_stay_apart() -> None:
    curves = [Curve(name, "", [(1, 1.0), (2, 0.5)]) for name in ("train", "val")]
    lines = [line.plain for line in draw_curves(curves, width=40, height=7)]
    assert sum("train" in line for line in lines) == sum("val" in line for line in lines) == 1


def test_curves_without_points_are_empty_lines() -> None:
    assert [line.plain for line in draw_curves([Curve("train", "", [])], width=40, height=6)] == [""] * 6
