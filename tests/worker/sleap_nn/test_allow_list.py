"""What strangers may set, value by value: each line of ``allowed_values.txt`` was looked at.

A change of the list belongs there too, once it's clear that no value reaches a file, a device, a process or
the network.
``python -m tests.worker.sleap_nn.test_allow_list`` writes the file anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sleaprtc.formats.documents import MAX_WHOLE_NUMBER
from sleaprtc.formats.sleap_nn import allow_list

REVIEWED = Path(__file__).with_name("allowed_values.txt")
TABLES = ("REQUESTED_VALUES", "PREDICTION_VALUES", "ALLOWED_KEYS", "MODEL_KEYS")
EDGES = (-1e12, -1000.0, -0.5, 0.0, 0.25, 1.0, 4.0, 8.0, 64.0, 1000.0, 1e12)
"""Numbers between two of which each range begins, or ends."""


def described(check: Callable[[Any], bool]) -> str:
    """Returns which flags, numbers and texts a check accepts."""
    kinds = [
        kind
        for kind, value in {
            "null": None,
            "flag": True,
            "a word": "word",
            "10,000 characters": "x" * 10_000,
            "a list of words": ["word", "word"],
            "a list of pairs": [["word", "word"]],
            "a section": {"word": "word"},
        }.items()
        if check(value)
    ]
    numbers = [value for value in EDGES if check(value)] or [
        value for value in range(2000) if check(value) and not isinstance(value, bool)
    ]
    if numbers and isinstance(numbers[0], float):
        kinds.append(f"{_border(check, numbers[0], -1.0)} to {_border(check, numbers[-1], 1.0)}")
    elif numbers and numbers == list(range(numbers[0], numbers[-1] + 1)):
        most = next(value for value in _whole_numbers(numbers[-1]) if not check(value + 1))
        kinds.append(f"whole, {numbers[0]} to {most}")
    elif numbers:
        kinds.append(f"one of {numbers}")
    return ", ".join(kinds) or "certain words"


def _border(check: Callable[[Any], bool], inside: float, direction: float) -> str:
    """Returns the last number that is accepted, in a direction, to six digits."""
    if check(direction * 1e300):
        return "any"
    outside = inside + direction * 1e13
    for _ in range(150):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if check(middle) else (inside, middle)
    return "over 0" if 0 < inside < 1e-20 else f"{inside:.7g}"


def _whole_numbers(first: int) -> Iterator[int]:
    yield from range(first, 1_100_000)
    yield MAX_WHOLE_NUMBER


def lines_of(allowed: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, inner in sorted(allowed.items()):
        if isinstance(inner, Mapping):
            yield from lines_of(inner, f"{path}.{key}")
        else:
            yield f"{path}.{key}: {described(inner)}"


def all_lines() -> list[str]:
    return [line for table in TABLES for line in lines_of(getattr(allow_list, table), table.lower())]


def test_what_may_be_set_is_what_was_looked_at() -> None:
    assert all_lines() == REVIEWED.read_text().splitlines()


def test_names_in_skeletons_are_names_wherever_they_are() -> None:
    skeletons: Any = allow_list.MODEL_KEYS["data_config"]["skeletons"]  # type: ignore[index]
    assert skeletons([{"nodes": ["head", {"name": "thorax"}]}, None])
    for wrong in ("x" * 129, "a\nb", 5, True):
        assert not skeletons([{"nodes": wrong}])
        assert not skeletons([{"nodes": "head", wrong: "head"}])


if __name__ == "__main__":
    REVIEWED.write_text("\n".join(all_lines()) + "\n")
