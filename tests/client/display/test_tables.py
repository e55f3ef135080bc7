"""Tables of workers and of their answers, on terminals of any width."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.table import Table

from sleaprtc.client.display.tables import answers_table, workers_table
from sleaprtc.client.events.job import Answered, AnswerSummary, WorkerSummary

NAME = "sleap-gpu-box-17"
COLUMNS = ("worker", "GPU", "memory", "sleap-nn", "torch on", "status", "models")
MODELS = ("single_instance", "centroid", "centered_instance", "bottomup")


def lines(table: Table, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    shown = captured.get().splitlines()
    assert shown[0].endswith("┓")  # else it's cut off at the terminal's edge
    return shown


def header(shown: list[str]) -> list[str]:
    return [cell.strip() for cell in shown[1].strip("┃").split("┃")]


def worker(name: str) -> WorkerSummary:
    return WorkerSummary(
        worker=name,
        gpu_model="NVIDIA RTX A5000",
        gpu_memory_mb=24_564,
        sleap_version="0.3.5",
        status="available",
        supported_models=MODELS,
        torch_device="cuda",
    )


@pytest.mark.parametrize(
    ("width", "dropped"),
    [
        (160, ()),
        (100, ()),
        (80, ("torch on", "models")),
        (40, ("torch on", "models", "sleap-nn", "memory", "GPU")),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_names(width: int, dropped: tuple[str, ...]) -> None:
    shown = lines(workers_table((worker(NAME), worker("b")), width), width)
    assert header(shown) == [name for name in COLUMNS if name not in dropped]
    assert any(NAME in line and "available" in line for line in shown)
    assert "…" not in "".join(shown)


def test_a_name_wider_than_the_terminal_is_folded_and_not_cut() -> None:
    name = "w" * 50
    shown = lines(workers_table((worker(name),), 40), 40)
    assert "".join(shown[3:]).count("w") == len(name)
    assert any("available" in line for line in shown)


def test_words_of_others_leave_room_for_names() -> None:
    refused = Answered("job", (AnswerSummary(NAME, False, "x" * 300),), None)
    assert any(NAME in line for line in lines(answers_table(refused, 60), 60))


ANSWERS = (
    AnswerSummary(NAME, True, None, 5.0, 12.0, 20_000.0),
    AnswerSummary("b", False, "busy"),
)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (100, ["worker", "answer", "starts in", "takes about", "free memory", ""]),
        (60, ["worker", "answer", "takes about", ""]),
        (40, ["worker", "answer", ""]),
    ],
)
def test_answers_fit_too(width: int, expected: list[str]) -> None:
    shown = lines(answers_table(Answered("job", ANSWERS, NAME), width), width)
    assert header(shown) == expected
    assert any(NAME in line and "accepts" in line and "chosen" in line for line in shown)


def test_answers_have_no_empty_columns() -> None:
    refused = Answered("job", (AnswerSummary("a", False, "busy"), AnswerSummary("b", None)), None)
    assert header(lines(answers_table(refused, 100), 100)) == ["worker", "answer"]
    untold = Answered("job", (AnswerSummary("a", True),), "a")
    assert header(lines(answers_table(untold, 100), 100)) == ["worker", "answer", ""]
