"""Every sentence that has an error's words in it reads right, whether or not those end with a full stop."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc import errors
from sleaprtc.base.sentences import as_clause, as_sentence
from sleaprtc.worker.sleap_nn.runner.parent import reason_of

PACKAGE = Path(errors.__file__).parent
SPOILED = ("..", ". .", " .", ".:", ".,", ":.", ".).", "None")


class Anything:
    """Stands for whatever else a sentence names."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> object:
        return self

    def __getitem__(self, key: object) -> object:
        return self

    def __format__(self, spec: str) -> str:
        return "thing"

    __str__ = __repr__ = lambda _: "thing"


class Said(errors.WorkerLostError):
    """An error with what others of their kind have, too."""

    name = "thing"

    @property
    def message(self) -> str:
        return str(self)


class Names(dict[str, object]):
    """Every name that a sentence may use; those in ``caught`` are errors with the given words."""

    def __init__(self, words: str, caught: frozenset[str]) -> None:
        super().__init__(
            as_clause=as_clause, as_sentence=as_sentence, reason_of=reason_of, str=str, repr=repr, type=type
        )
        self._words = words
        self._caught = caught

    def __missing__(self, name: str) -> object:
        return Said(self._words) if name in self._caught else Anything()


def sentences() -> Iterator[tuple[str, ast.JoinedStr, frozenset[str]]]:
    """Every text of the package in which a caught error is filled in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        handlers = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
        caught = frozenset({"error", "failure", *(node.name for node in handlers if node.name)})
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and caught & {
                name.id
                for part in node.values
                if isinstance(part, ast.FormattedValue)
                for name in ast.walk(part.value)
                if isinstance(name, ast.Name)
            }:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node, caught


SENTENCES = list(sentences())


def test_there_are_as_many_as_one_expects() -> None:
    assert len(SENTENCES) > 60


@pytest.mark.parametrize("words", ["the disk is full", "The disk is full.", "It failed: no reason."])
@pytest.mark.parametrize(("place", "node", "caught"), SENTENCES, ids=[place for place, *_ in SENTENCES])
def test_a_sentence_with_an_error_in_it(
    place: str, node: ast.JoinedStr, caught: frozenset[str], words: str
) -> None:
    code = compile(ast.fix_missing_locations(ast.Expression(node)), place, "eval")
    said = str(eval(code, {"__builtins__": {}}, Names(words, caught)))
    for spoiled in SPOILED:
        assert spoiled not in re.sub(r" \.(?=[a-z])", " ", said), said  # a file's suffix is a word
    assert not re.search(rf"{re.escape(words.rstrip('.'))} [A-Z]", said), said


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.SleapRTCError)
    ],
)
@pytest.mark.parametrize("words", ["it is full", "It is full."])
def test_every_kind_of_error_inside_a_sentence(kind: type[errors.SleapRTCError], words: str) -> None:
    error = kind(words)
    assert f"Nothing was written: {as_clause(error)}." == f"Nothing was written: {words.rstrip('.')}."
    assert f"{as_sentence(error)} Try again." == f"{words.rstrip('.')}. Try again."


@given(st.text())
@example("")
@example("...")
@example(". .")
@example("Wait...")
def test_any_words(words: str) -> None:
    clause, sentence = as_clause(words), as_sentence(words)
    assert clause
    assert not clause.endswith((".", " "))
    assert sentence.endswith((".", "!", "?", "…", ")", '"', "`", ":"))
    assert as_sentence(sentence) == sentence
    assert "\n" not in clause + sentence


def test_what_the_system_says_is_its_reason_alone() -> None:
    assert (
        as_clause(FileNotFoundError(2, "No such file or directory", "/secret/x"))
        == "No such file or directory"
    )
    assert as_clause(OSError("odd.")) == "odd"
    assert as_clause(TimeoutError()) == "TimeoutError"
