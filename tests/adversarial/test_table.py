"""The table of attacks names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_every_test_of_the_table_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (HERE / "README.md").read_text())
    assert len(named) > 50
    for file, test in named:
        path = ROOT / file if file.startswith("tests/") else HERE / file
        assert re.search(rf"^(async )?def {test}\(", path.read_text(), re.MULTILINE), f"{file}::{test}"
