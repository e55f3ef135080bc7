"""Programs of the system that some tests need, which have the mark ``system``.

They skip without them, except in CI, which installs them.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

ARE_REQUIRED: Final = os.environ.get("SLEAP_RTC_TEST_SYSTEM_PACKAGES") == "required"
"""``.ci/run`` sets it: there, a test whose program is missing fails."""


def is_missing(program: str) -> bool:
    """Whether a test of a program is to be skipped."""
    return shutil.which(program) is None and not ARE_REQUIRED


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Marks a test that needs a program; ``package`` is Debian's name for what has it."""
    return pytest.mark.system(program, package)


def skip_where_missing(item: pytest.Item) -> None:
    """Skips a test where a program is missing that it needs."""
    for mark in item.iter_markers("system"):
        program, package = mark.args
        if is_missing(program):
            pytest.skip(f"{program} isn't installed (Debian's package {package})")
