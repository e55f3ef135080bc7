"""Every file, module, function and constant that the documents name is there."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "changes" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "tests").rglob("README.md")),
]
CONTRIBUTING = ROOT / "docs" / "contributing.md"
JOURNEYS = {
    "A command, to the first byte and the model": 20,
    "A frame through the server": 10,
    "A job on the worker": 20,
}
"""The tour's parts in ``docs/architecture.md``, and how many steps each has at least."""

NOT_OURS = {"config.toml", "sleap-rtc.toml", "12.fix.md", "NAME.TYPE.md"}
"""Files of users, and examples."""

_DOTTED = re.compile(r"`(sleaprtc(?:\.\w+)+)(?:\(\))?`")
_FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)*\.(?:py|md|cfg|ini|toml|yml|txt))(?:::\w+)?`")
_FOLDER = re.compile(r"`((?:sleaprtc|tests|docs|changes|benchmarks)/(?:[\w.-]+/)*)`")


def named_in(document: Path, pattern: re.Pattern[str]) -> list[str]:
    """What a document has in code, each once."""
    return sorted({found[1] for found in pattern.finditer(document.read_text())} - NOT_OURS)


def is_known(dotted: str) -> bool:
    """Whether there is a module, class, function or constant of this name."""
    try:
        pkgutil.resolve_name(dotted)
    except (AttributeError, ImportError):
        return False
    return True


def is_file(document: Path, name: str) -> bool:
    """Whether a file is there: from the root on, in the package, or beside the document.

    A file without a folder may be one of which a sentence before has said where it is.
    """
    places = (ROOT, ROOT / "sleaprtc", ROOT / "tests", document.parent)
    if any((place / name).is_file() for place in places):
        return True
    if "/" in name:
        return False
    return any(next((ROOT / place).rglob(name), None) for place in ("sleaprtc", "tests", "docs"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    assert [name for name in named_in(document, _DOTTED) if not is_known(name)] == []
    assert [name for name in named_in(document, _FILE) if not is_file(document, name)] == []
    assert [name for name in named_in(document, _FOLDER) if not (ROOT / name).is_dir()] == []


def test_an_example_selects_tests() -> None:
    """What is typed after ``-k`` is a part of a test's name in the files that are named before it."""
    examples = [
        found for path in DOCUMENTS for found in re.findall(r"(tests/[\w./]+) -k (\w+)", path.read_text())
    ]
    assert len(examples) > 1
    for place, word in examples:
        files = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("test_*.py"))
        text = "\n".join(file.read_text() for file in files)
        assert re.search(rf"def test_\w*{word}", text), f"{place} -k {word}"


def test_contributing_names_files_from_the_root_on() -> None:
    named = [name for name in named_in(CONTRIBUTING, _FILE) if "/" in name]
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("title", JOURNEYS)
def test_each_step_of_a_journey_names_a_function(title: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    journey = text.split(f"### {title}\n", 1)[1].partition("\n#")[0]
    steps = re.findall(r"(?m)^(\d+)\. (.*(?:\n {3,}\S.*)*)", journey)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= JOURNEYS[title]
    assert [step for _, step in steps if not _DOTTED.search(step)] == []


@pytest.mark.parametrize("name", ["client.nowhere", "errors.NoSuchError", "server.hub.Hub.bake"])
def test_a_name_that_is_not_there_is_found_out(name: str) -> None:
    assert not is_known(f"sleaprtc.{name}")


@pytest.mark.parametrize("name", ["server/nowhere.py", "nowhere.py"])
def test_a_file_that_is_not_there_is_found_out(name: str) -> None:
    assert not is_file(ROOT / "README.md", name)
