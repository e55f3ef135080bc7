"""What this package starts as a process of its own, by a path or a module's name in a string.

It is there, whoever starts it imports nothing that only the child needs, and the other way round.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import sleaprtc
from sleaprtc.base import distribution
from sleaprtc.client.inputs import packing
from sleaprtc.client.results import predictions
from sleaprtc.demo import parts, scenario
from sleaprtc.worker.machine.gpu_users import RUNNER_PATH
from sleaprtc.worker.sleap_nn.intake import dataset
from sleaprtc.worker.sleap_nn.process.runner_process import RUNNER_FILE

SCRIPTS = [
    RUNNER_FILE,
    packing.SCRIPT,
    predictions.CONVERTER,
    parts.GUARD,
    scenario.FLIES_SCRIPT,
    scenario.EVALUATION_SCRIPT,
]
READERS = [packing.READER_MODULE, predictions.VIDEO_PLACES_MODULE, dataset.READER_MODULE]
"""Modules that read one file for a program, and answer."""

PROGRAMS = [
    "sleaprtc.worker.program",
    "sleaprtc.client.commands.train",
    "sleaprtc.client.jobs.train",
    "sleaprtc.client.jobs.track",
    "sleaprtc.client.jobs.attach",
]


def imported_by(module: str) -> set[str]:
    """The modules that are loaded once a module has been imported, in a process of its own."""
    script = f"import sys, {module}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_leaves_hdf5_to_its_children(program):
    assert not {"h5py", "numpy"} & imported_by(program)


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_imports_what_it_reads_with_and_little_else(reader):
    imported = imported_by(reader)
    assert "h5py" in imported
    assert not {"trio", "structlog", "rich", "asyncio", "aiortc", "yaml"} & imported


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_that_is_run_is_there(script):
    assert script.is_file()


@pytest.mark.parametrize("module", READERS)
def test_a_module_that_is_run_is_there(module):
    assert find_spec(module) is not None


def test_a_training_is_known_by_the_path_of_its_script():
    assert str(RUNNER_FILE).endswith(RUNNER_PATH)


def test_the_source_tree_is_where_the_package_lies():
    assert Path(sleaprtc.__file__).parents[1] == distribution._SOURCE_TREE
