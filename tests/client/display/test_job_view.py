"""What a job's line and figures say, at times that the test chooses."""

from __future__ import annotations

import io

import attrs
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from sleaprtc.client.display.job_view import JobView
from sleaprtc.client.events.job import StatusChanged


def text(shown: RenderableType | None, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print("" if shown is None else shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def epoch(number: int, **changes: object) -> StatusChanged:
    status = StatusChanged(
        "gpu-1", "running", number / 10, number, 10, 1 / number, 2 / number, 4.0, "centroid"
    )
    return attrs.evolve(status, **changes)


def test_the_rate_is_that_of_the_last_epochs_and_the_time_left_runs_down() -> None:
    job = JobView()
    for number in (1, 2, 3):  # missed, and told all at once
        job.see(epoch(number), 100.0)
    for number in (4, 5, 6, 7, 8, 9):
        job.see(epoch(number, device="cuda:0"), 100.0 + number * 2)
    job.see(epoch(9, device="cuda:0", seq=17), 200.0)  # said again
    line = text(job.line(100, 118.0 + 120))
    assert "Epoch 9 of 10: centroid, gpu-1 (cuda:0)" in line
    assert "90 % 2 s/epoch, 2 min left" in line
    assert "0 s left" in text(job.line(100, 10_000.0))


def test_epochs_that_were_missed_say_nothing_of_the_rate() -> None:
    job = JobView()
    for number in range(1, 10):
        job.see(epoch(number), 100.0 + number / 1000)
    assert "s/epoch" not in text(job.line(100, 101.0))


def test_frames_have_a_rate_too() -> None:
    job = JobView()
    status = StatusChanged("gpu-1", "running", 0.25, frames_done=50, total_frames=200, frames_per_sec=12.345)
    job.see(status, 0.0)
    line = text(job.line(100, 0.0))
    assert "Frame 50 of 200: gpu-1" in line
    assert "25 % 12.3 frames/s" in line
    assert job.figures(100, 20) is None


def test_words_before_there_are_epochs() -> None:
    job = JobView()
    job.see(StatusChanged("gpu-1", "running", 0.0, message="Reading the labels\x1b[2J"), 0.0)
    line = text(job.line(100, 0.0))
    assert "Reading the labels\N{REPLACEMENT CHARACTER}[2J, gpu-1" in line


def test_figures_take_no_more_room_than_there_is() -> None:
    job = JobView()
    for model in ("centroid", "centered_instance"):
        for number in range(1, 11):
            job.see(epoch(number, model=model), 0.0)
    for width in (10, 30, 60, 99, 100, 120):
        for height in (0, 1, 2, 5, 6, 7, 8, 20, 60):
            figures = job.figures(width, height)
            lines = text(figures, 200).rstrip("\n").split("\n") if figures is not None else []
            assert len(lines) <= height
            assert all(len(line.rstrip()) <= width for line in lines)
    assert "best 0.2 in epoch 10" in text(job.figures(60, 20))


def test_jobs_of_one_worker_are_told_apart() -> None:
    job = JobView("flies.slp")
    job.see(epoch(3, model="bottomup"), 0.0)
    assert "Epoch 3 of 10: bottomup, flies.slp, gpu-1" in text(job.line(120, 0.0))


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
statuses = st.builds(
    StatusChanged,
    worker=st.text(max_size=5),
    status=st.sampled_from(["starting", "running", "sending"]),
    progress=st.floats(0, 1),
    current_epoch=st.none() | st.integers(),
    total_epochs=st.none() | st.integers(),
    current_loss=numbers,
    val_loss=numbers,
    estimated_remaining_minutes=numbers,
    model=st.none() | st.sampled_from(["", "centroid", "\x1b[2J", "\N{CJK UNIFIED IDEOGRAPH-6797}" * 40]),
    message=st.none() | st.text(max_size=200),
    frames_done=st.none() | st.integers(),
    frames_per_sec=numbers,
)


@given(st.lists(statuses, max_size=8), st.integers(1, 200), st.integers(1, 60))
def test_any_statuses_fit_into_any_terminal(told: list[StatusChanged], width: int, height: int) -> None:
    job = JobView()
    for number, status in enumerate(told):
        job.see(status, float(number))
    shown = text(job.line(width, 10.0), width) + text(job.figures(width, height), width)
    assert all(line.isprintable() and cell_len(line) <= width for line in shown.split("\n"))
    figures = job.figures(width, height)
    assert figures is None or text(figures, 500).count("\n") <= height
