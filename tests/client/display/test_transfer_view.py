"""What the line of a file on its way says of rate and time left, at times that the test chooses."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sleaprtc.client.display.plain import PlainDisplay
from sleaprtc.client.display.transfer_view import TransferPace, TransferView, transfers_table
from sleaprtc.client.events.job import Direction, Transferred

MIB = 2**20
WRITE_SEC = 0.5


def event(received_bytes: float, size_bytes: float = 10 * MIB, offset_bytes: float = 0) -> Transferred:
    return Transferred(
        Direction.SEND, "flies.pkg.slp", int(size_bytes), int(received_bytes), int(offset_bytes)
    )


def line(view: TransferView, now_sec: float, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(transfers_table([view], width, now_sec))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(
    kib_per_sec=st.integers(100, 100_000),
    offset_mib=st.integers(0, 1000),
    pauses=st.lists(st.floats(0.4, 0.7), min_size=25, max_size=40),
)
def test_after_ten_seconds_the_time_left_is_right(
    kib_per_sec: int, offset_mib: int, pauses: list[float]
) -> None:
    """Whatever was there before, and although the first seconds are slow."""
    pace, now_sec, received_bytes = TransferPace(), 0.0, float(offset_mib * MIB)
    size_bytes = received_bytes + kib_per_sec * 1024 * 60
    pace.see(event(received_bytes, size_bytes, offset_mib * MIB), now_sec)
    for pause_sec in pauses:
        received_bytes += kib_per_sec * 1024 * pause_sec * (0.5 if now_sec < 1.5 else 1)
        now_sec += pause_sec
        pace.see(event(received_bytes, size_bytes, offset_mib * MIB), now_sec)
        if now_sec >= 10:
            left_sec = pace.left_sec(now_sec)
            assert left_sec == pytest.approx((size_bytes - received_bytes) / (kib_per_sec * 1024), rel=0.1)


@pytest.mark.parametrize("factor", [0.3, 0.5, 2, 4])
def test_ten_seconds_after_another_rate_it_is_right_again(factor: float) -> None:
    pace, received_bytes, rate = TransferPace(), 0.0, 0.2 * MIB
    for step in range(100):
        now_sec = step * WRITE_SEC
        pace.see(event(received_bytes, 100 * MIB), now_sec)
        if now_sec >= 40:
            assert pace.left_sec(now_sec) == pytest.approx((100 * MIB - received_bytes) / rate, rel=0.1)
        if now_sec == 30:
            rate *= factor
        received_bytes += rate * WRITE_SEC


def test_the_time_left_runs_down_between_two_arrivals() -> None:
    pace = TransferPace()
    for number in range(4):
        pace.see(event(number * MIB), number * 10.0)  # a receiver that acknowledges each mebibyte
    assert [pace.left_sec(30.0 + later) for later in (0, 1, 9)] == [70.0, 69.0, 61.0]
    assert pace.silent_sec(45.0) == 0


def test_a_new_connection_begins_anew() -> None:
    pace = TransferPace()
    for step in range(10):
        pace.see(event(step * MIB / 2), step * WRITE_SEC)
    pace.see(event(4 * MIB, offset_bytes=4 * MIB), 60.0)
    assert pace.left_sec(60.0) is None
    pace.see(event(4.5 * MIB, offset_bytes=4 * MIB), 61.0)
    assert pace.left_sec(61.0) == pytest.approx(11.0)


def test_silence_is_said_and_counted() -> None:
    view = TransferView()
    for step in range(10):
        view.see(event(step * MIB / 2), step * WRITE_SEC)
    assert "4.50/10.00 MiB 1.00 MiB/s 0:06 left" in line(view, 4.5)
    assert "0:04 left" in line(view, 6.5)
    assert "4.50/10.00 MiB" in line(view, 12.5)
    assert "silent for 8 s" in line(view, 12.5)
    assert "left" not in line(view, 12.5)


@pytest.mark.parametrize("width", [70, 80, 100, 120])
@pytest.mark.parametrize("size_bytes", [1000, MIB, 3 * MIB, 30_000 * MIB])
def test_all_of_it_fits_in_a_line(width: int, size_bytes: int) -> None:
    view = TransferView()
    view.see(event(0, size_bytes), 0.0)
    view.see(event(size_bytes / 100, size_bytes), 1.0)
    assert [len(row) <= width for row in line(view, 1.0, width).splitlines()] == [True]
    assert "left" in line(view, 1.0, width)


def test_something_moves_each_second_on_the_slowest_line() -> None:
    """Even of a file of many gigabytes, at a tenth of a mebibyte a second."""
    view, before = TransferView(), ""
    for second in range(1, 30):
        for half in (0.0, WRITE_SEC):
            view.see(event((second + half) * 0.1 * MIB, 20_000 * MIB), second + half)
        now = line(view, second + WRITE_SEC)
        assert now != before
        before = now


def test_plain_lines_have_the_time_left() -> None:
    shown = io.StringIO()
    display = PlainDisplay(shown)
    display.show(event(0))
    display.show(event(5 * MIB))
    display.show(event(10 * MIB))
    first, last = shown.getvalue().splitlines()
    assert first.startswith("Sent 5.0 of 10.0 MiB of flies.pkg.slp, 0:0")
    assert first.endswith(" left.")
    assert last == "Sent 10.0 of 10.0 MiB of flies.pkg.slp."
