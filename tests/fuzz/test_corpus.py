"""Replays what fuzzing has found, without the fuzzer."""

from __future__ import annotations

import pytest

from . import corpus
from .targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_breaks_no_promise(name: str) -> None:
    inputs = corpus.load(name)
    assert inputs
    for data in inputs:
        TARGETS[name](data)
