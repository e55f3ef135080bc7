"""The display of a job in a real Jupyter kernel, which comes with sleap-nn."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ...support.real_training import PYTHON

SCRIPT = Path(__file__).with_name("scripted_job.py")
LIMIT_SEC = 120

pytestmark = [pytest.mark.train]


@pytest.fixture(autouse=True)
def kernel() -> None:
    code = "import nbconvert, ipykernel, sleaprtc.client.display.live"
    if subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=LIMIT_SEC, check=False).returncode:
        pytest.skip(f"{PYTHON} has no Jupyter, or not what the client needs")


def test_curves_are_drawn_in_one_output_and_lines_below_it(tmp_path: Path) -> None:
    code = f"import runpy, sys\nsys.argv = ['', '12', '0']\nrunpy.run_path({str(SCRIPT)!r})\nNone"
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "a",
        "metadata": {},
        "outputs": [],
        "source": code,
    }
    notebook = tmp_path / "notebook.ipynb"
    document = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    notebook.write_text(json.dumps(document))
    environment = {
        **os.environ,
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    options = ["--to", "notebook", "--execute", "--inplace", str(notebook)]
    subprocess.run(
        [PYTHON, "-m", "nbconvert", *options],
        env=environment,
        check=True,
        capture_output=True,
        timeout=LIMIT_SEC,
    )
    outputs = json.loads(notebook.read_text())["cells"][0]["outputs"]
    pages = ["".join(output["data"]["text/html"]) for output in outputs if "data" in output]
    (page,) = pages
    assert page.count("best ") == page.count("  epoch 12") == 2
    assert "centered_instance</span>" in page
    printed = [output for output in outputs if output["output_type"] == "stream"]
    text = "".join("".join(output["text"]) for output in printed if output["name"] == "stdout")
    assert "Sent labels.pkg.slp (4.0 MiB).\n" in text
    assert "Trained by gpu-1 on cuda:0: 24 epochs in 3 min, loss 0.25.\n" in text
    assert "\x1b" not in text
