"""The client's commands as click has them: found by a table, and handed finished values."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from sleaprtc.cli import main as programs
from sleaprtc.client.__main__ import COMMANDS, main
from sleaprtc.client.inputs.model_descriptions import ModelDescription
from sleaprtc.client.jobs.order.settings import PredictionSettings, TrainingSettings
from sleaprtc.errors import EXIT_USAGE

from ..support.lab import make_labels


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_lists_each_command_by_the_first_sentence_of_its_own(name):
    command = main.get_command(click.Context(main), name)
    assert command.name == name
    assert command.get_short_help_str(limit=1000) == COMMANDS[name].help


def loaded_by(cwd, *words):
    """The modules that a command of the client's has imported when it ends."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from sleaprtc.client.__main__ import main\n"
        f"main({list(words)!r})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True, timeout=120
    )
    return set(ended.stderr.split())


def test_help_loads_no_command_and_a_command_no_other(tmp_path):
    (tmp_path / "sleap-rtc.toml").write_text('room = "a"\n[client]\nepochs = 3\n')
    commands = {entry.module for entry in COMMANDS.values()}
    loaded = loaded_by(tmp_path, "--help")
    assert not loaded & {*commands, "httpcore"}
    loaded = loaded_by(tmp_path, "workers", "--help")
    assert loaded & commands == {"sleaprtc.client.commands.workers"}
    assert not loaded & {"rich", "trio_websocket", "sleaprtc.client.actions.workers"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["workers", "--room", "a"], "--token"),
        (["workers", "--property", "gpu"], "isn't a condition"),
        (["train", "{labels}", "--ice-server", "nonsense"], "ICE server"),
        (["train", "{labels}", "--tag", "a", "--property", "gpu"], "isn't a condition"),
        (["attach", "a", "--ice-server", "nonsense"], "ICE server"),
    ],
)
def test_an_option_that_cannot_be_ends_the_command_as_any_error(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = make_labels(tmp_path / "labels.pkg.slp")
    ended = CliRunner().invoke(main, [*(word.format(labels=labels) for word in words), "--json"])
    assert ended.exit_code == EXIT_USAGE, ended.output
    error = json.loads(ended.stdout)
    assert (error["event"], error["exit_status"]) == ("error", EXIT_USAGE)
    assert said in error["message"]
    assert ended.stderr.strip().splitlines()[-1] == f"Error: {error['message']}"


def test_settings_that_are_left_to_the_worker_are_not_sent():
    assert TrainingSettings().as_json() == PredictionSettings().as_json() == {}
    models = (ModelDescription("centroid", {"epochs": 3}),)
    assert TrainingSettings("topdown", epochs=1, models=models).as_json() == {
        "model_type": "topdown",
        "epochs": 1,
        "models": [{"model": "centroid", "epochs": 3}],
    }
    assert PredictionSettings(0.0, tracking=True).as_json() == {"peak_threshold": 0.0, "tracking": True}


@pytest.mark.parametrize(
    ("program", "group", "typed", "meant"),
    [
        (main, "client", "trian", "train"),
        (programs, "sleap-rtc", "clinet", "client"),
    ],
)
def test_a_mistyped_command_is_answered_with_the_nearest(program, group, typed, meant):
    ended = CliRunner().invoke(program, [typed], prog_name=group)
    assert ended.exit_code == 2
    assert f"No such command '{typed}'. Did you mean {group} {meant}?" in ended.output
