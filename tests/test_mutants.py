"""The mutants change every module that only decides, and name modules and tests that exist."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from .mutants import SUBJECTS
from .support.layers import MODULES, PACKAGE_DIR, PURE, part_of

TESTS_DIR = Path(__file__).parent


def test_every_pure_module_is_changed_once() -> None:
    changed = Counter(path for subject in SUBJECTS.values() for path in subject.modules)
    pure = {
        path.relative_to(PACKAGE_DIR).as_posix()
        for name, path in MODULES.items()
        if part_of(name) in PURE and not name.endswith("__init__")
    }
    assert {"jobs/life.py", "transfer/framing.py", "rooms/effects.py"} <= pure <= set(changed)
    assert set(changed.values()) == {1}


def test_what_is_changed_and_what_is_run_is_there() -> None:
    for name, subject in SUBJECTS.items():
        assert all((PACKAGE_DIR / path).is_file() for path in subject.modules), name
        assert all((TESTS_DIR / path).exists() for path in subject.tests), name
