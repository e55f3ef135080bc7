"""What this package starts as a process of its own, by a path or a module's name in a string, is there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import sleaprtc
from sleaprtc.base import distribution
from sleaprtc.client.inputs import packing
from sleaprtc.client.results import predictions
from sleaprtc.demo import parts, scenario
from sleaprtc.worker.machine.gpu_users import RUNNER_PATH
from sleaprtc.worker.sleap_nn.process.runner_process import RUNNER_FILE

SCRIPTS = [RUNNER_FILE, packing.SCRIPT, parts.GUARD, scenario.FLIES_SCRIPT, scenario.EVALUATION_SCRIPT]
MODULES = [packing.READER_MODULE, predictions.VIDEO_PLACES_MODULE]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_that_is_run_is_there(script):
    assert script.is_file()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_is_run_is_there(module):
    assert find_spec(module) is not None


def test_a_training_is_known_by_the_path_of_its_script():
    assert str(RUNNER_FILE).endswith(RUNNER_PATH)


def test_the_source_tree_is_where_the_package_lies():
    assert Path(sleaprtc.__file__).parents[1] == distribution._SOURCE_TREE
