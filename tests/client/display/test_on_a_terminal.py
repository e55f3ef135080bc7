"""The display of a job as a process on a terminal, read back by a terminal emulator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ...support.emulator import END_OF_UPDATE, LIMIT_SEC, Terminal, opened_terminal

SCRIPT = Path(__file__).with_name("scripted_job.py")
ESCAPE = b"\x1b"
CURVES = range(0x2801, 0x2900)
LONG = 1000
"""Seconds: the test ends it, however slow the machine is."""


def terminal(
    columns: int, rows: int, *arguments: object, **environment: str
) -> AbstractContextManager[Terminal]:
    """A terminal with a scripted job in it."""
    return opened_terminal(columns, rows, [SCRIPT, *arguments], **environment)


def has_curve(line: str) -> bool:
    return any(ord(char) in CURVES for char in line)


def curve_count(lines: list[str]) -> int:
    return sum("epoch 12" in line and "best" not in line and "Epoch" not in line for line in lines)


@pytest.mark.parametrize(("columns", "rows"), [(70, 24), (80, 40), (100, 30), (200, 50)])
def test_curves_and_then_the_result(columns: int, rows: int) -> None:
    with terminal(columns, rows, 12, 0) as shown:
        lines = shown.finish()
    assert all(len(line) <= columns for line in lines)
    text = "\n".join(lines)
    assert text.count("centered_instance  ") == 1
    assert "best" in text
    assert curve_count(lines) == 1
    assert 5 < sum(map(has_curve, lines)) < 15
    assert "Sent labels.pkg.slp (4.0 MiB)." in lines
    assert lines.index("a word on centroid") < lines.index("a word on centered_instance")
    assert "Trained by gpu-1 on cuda:0: 24 epochs in 3 min, loss 0.25." in lines
    assert "2.5 px" in text
    assert "s/epoch" not in text  # the bar is gone
    assert not shown.screen.cursor.hidden


def test_what_happens_while_it_trains() -> None:
    with terminal(80, 30, 12, LONG) as shown:
        lines = shown.wait_for(
            lambda lines: "a word on centered_instance" in lines and "min left" in "".join(lines)
        )
        (now,) = [line for line in lines if "min left" in line]
        assert now.startswith("Epoch 12 of 12: centered")
        assert "100 %" in now
        assert curve_count(lines) == 1
        assert shown.screen.cursor.hidden


def test_another_width_is_drawn_anew() -> None:
    with terminal(100, 30, 12, LONG) as shown:
        shown.wait_for(lambda lines: "a word on centered_instance" in lines)
        for columns in (60, 20, 40, 130):
            shown.resize(columns)
            seen = len(shown.raw)
            # Some updates may still have the width from before. A narrower terminal wraps one that was on its
            # way, and what scrolls away with it can't be erased: only the screen is looked at.
            shown.wait_for(
                lambda lines, seen=seen, columns=columns: (
                    shown.raw.count(END_OF_UPDATE, seen) > 1
                    and is_drawn_once(lines[-shown.screen.lines :], columns)
                )
            )


def is_drawn_once(lines: list[str], columns: int) -> bool:
    """Whether there is one bar, below everything else, and one figure if there is room for it."""
    written = [line for line in lines if line]
    bars = sum(line.startswith("Epoch 12") for line in written)
    has_figure = curve_count(written) == (columns > 30)
    return bars == 1 and written[-1].startswith("Epoch 12") and has_figure


def test_a_terminal_of_few_lines_has_room_for_the_bar() -> None:
    with terminal(80, 5, 12, LONG) as shown:
        lines = shown.wait_for(lambda lines: any("Epoch 12 of 12: centered" in line for line in lines))
    assert not any(map(has_curve, lines))


def test_without_colours_the_curves_have_names() -> None:
    with terminal(80, 30, 12, 0, NO_COLOR="1") as shown:
        lines = shown.finish()
    assert any(map(has_curve, lines))
    assert any(line.endswith(" train") for line in lines)
    assert any(line.endswith(" val") for line in lines)
    colours = [
        code for code in shown.raw.split(ESCAPE) if code.startswith((b"[3", b"[9")) and b"m" in code[:5]
    ]
    assert colours == []


@pytest.mark.parametrize(
    ("columns", "environment"),
    [(80, {"TERM": "dumb"}), (60, {}), (80, {"PYTHONIOENCODING": "ascii"})],
    ids=["dumb", "narrow", "ascii"],
)
def test_lines_where_nothing_can_be_drawn(columns: int, environment: dict[str, str]) -> None:
    with terminal(columns, 24, 3, 0, **environment) as shown:
        shown.finish()
    assert ESCAPE not in shown.raw
    text = shown.raw.decode()
    assert "centroid: epoch 3/3, loss 0.55, validation 0.613" in text
    assert text.count("\n") < 30


def test_lines_in_a_pipe() -> None:
    ended = subprocess.run(
        [sys.executable, SCRIPT, "3", "0"],
        capture_output=True,
        timeout=LIMIT_SEC,
        check=True,
        env={**os.environ},
    )
    lines = ended.stdout.decode().splitlines()
    assert ESCAPE not in ended.stdout
    assert [line.split(",")[0] for line in lines if "epoch" in line][:3] == [
        f"centroid: epoch {epoch}/3" for epoch in (1, 2, 3)
    ]
    assert "Trained by gpu-1 on cuda:0: 6 epochs in 3 min, loss 0.25." in lines


def test_an_interrupt_gives_the_cursor_back() -> None:
    with terminal(80, 30, 12, LONG) as shown:
        shown.wait_for(
            lambda lines: "a word on centered_instance" in lines and is_drawn_once(lines, columns=80)
        )
        shown.process.send_signal(signal.SIGINT)
        while shown.read():
            pass
        assert shown.process.wait(LIMIT_SEC) in (1, 130, -signal.SIGINT)
        assert not shown.screen.cursor.hidden
        assert curve_count(shown.lines()) == 1


WORDS = """
import itertools, sys
from rich.console import Console
from rich.text import Text
from sleaprtc.client.display import live_area

live_area.REDRAW_INTERVAL_SEC = 0.0005
heights = itertools.cycle(range(1, 8))
with live_area.open_live_area(
    Console(), lambda width, height: Text("\\n".join(["drawn"] * next(heights)))
):
    for number in range(400):
        print(f"word {number}", file=sys.stderr)
"""


def test_nothing_that_is_printed_is_lost_while_the_area_is_drawn() -> None:
    """Both erase the area first, and it has another height each time."""
    with opened_terminal(80, 24, ["-c", WORDS]) as shown:
        lines = shown.finish()
    assert [line for line in lines if line.startswith("word")] == [f"word {number}" for number in range(400)]
