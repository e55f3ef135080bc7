"""What real trainings and predictions begin with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import sleaprtc.demo.flies

from ...support.real_training import PYTHON


@pytest.fixture(scope="module")
def trainer_python() -> None:
    """The Python that trains has sleap-nn."""
    code = "import importlib.metadata as m; m.version('sleap-nn'); m.version('sleap-io')"
    if subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=120).returncode:
        pytest.skip(f"{PYTHON} has no sleap-nn")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, trainer_python: None) -> dict[int, Path]:
    """Packages of 16 frames with one and with two flies."""
    made = {}
    for fly_count in (1, 2):
        folder = tmp_path_factory.mktemp(f"flies{fly_count}")
        options = ["--flies", str(fly_count), "--frames", "16", "--held-out", "2"]
        done = subprocess.run(
            [PYTHON, sleaprtc.demo.flies.__file__, folder, *options],
            capture_output=True,
            check=True,
            timeout=120,
        )
        made[fly_count] = Path(json.loads(done.stdout)["training"])
    return made
