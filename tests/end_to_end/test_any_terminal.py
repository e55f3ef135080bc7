"""No terminal, narrow ones, colourless ones, locales without our characters: nothing breaks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import pytest

from sleaprtc.client.records.files import JobRecord, save

from ..support.on_terminal import run_on_terminal
from ..support.programs import environment

TIMEOUT_SEC = 120
ALL_HELP = """
import click
from sleaprtc.cli import main

def paths(command, path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from paths(command.get_command(context, name), [*path, name])

for path in list(paths(main, [])):
    main([*path, "--help"], standalone_mode=False)
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN_1 = {"PYTHONIOENCODING": "latin-1"}


def plain_environment(**more):
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM", "COLUMNS")}
    return {**kept, "TERM": "xterm-256color", **more}


def run(words, **more):
    return subprocess.run(
        [sys.executable, *words],
        env=plain_environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_SEC,
        check=False,
    )


@pytest.mark.parametrize("settings", [ASCII, {"TERM": "dumb", "NO_COLOR": "1"}])
def test_every_help_is_shown_in_any_locale(settings):
    shown = run(["-c", ALL_HELP], **settings)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("Usage: ") > 15
    assert "\x1b" not in shown.stdout


@pytest.mark.parametrize("columns", [20])
def test_every_help_fits_a_narrow_terminal(columns):
    shown = run_on_terminal([sys.executable, "-c", ALL_HELP], env=plain_environment(), columns=columns)
    assert shown.status == 0
    assert "Traceback" not in shown.text


@pytest.fixture
def records():
    """Jobs with names that are hard to show."""
    for number, name in enumerate(
        ("größe.pkg.slp", "眼睛.pkg.slp", "\x1b[31mred\n.slp", "x" * 200, "\udcff.slp")
    ):
        record = JobRecord(
            job_id=f"a7f3d2e{number}-1111-4111-8111-111111111111",
            attach_key="key",
            worker="gpu-box",
            ws_url="ws://127.0.0.1:1/",
            http_url="http://127.0.0.1:1",
            room_id="room",
            token="token",
            dataset=name,
            configs=(),
            out_dir="models",
            started_at=time.time(),
        )
        save(record)


TABLES = (["-m", "sleaprtc.client", "jobs"], ["-m", "sleaprtc", "config", "show"])


@pytest.mark.parametrize("command", TABLES, ids=" ".join)
@pytest.mark.parametrize("settings", [ASCII])
def test_tables_are_shown_in_any_locale(records, command, settings):
    shown = run(command, **settings)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\x1b" not in shown.stdout
    assert shown.stdout.count("\n") > 5


@pytest.mark.parametrize(
    ("columns", "settings"), [(20, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"}), (60, LATIN_1)]
)
def test_tables_are_shown_on_any_terminal(records, columns, settings):
    env = plain_environment(**settings)
    shown = run_on_terminal([sys.executable, *TABLES[0]], env=env, columns=columns)
    assert shown.status == 0
    assert "Traceback" not in shown.text
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in shown.text.splitlines()]
    assert max(map(len, lines)) <= columns
    assert "\x1b[31mred" not in shown.text
    if "NO_COLOR" in settings or settings.get("TERM") == "dumb":
        assert not re.search(r"\x1b\[[\d;]*3\d", shown.text)


def test_json_is_one_object_a_line_in_any_locale(records):
    for settings in (ASCII,):
        shown = run([*TABLES[0], "--json"], **settings)
        assert shown.returncode == 0, shown.stderr
        rows = [json.loads(line) for line in shown.stdout.splitlines()]
        assert "größe.pkg.slp" in [row["dataset"] for row in rows]


def test_the_worker_speaks_in_any_locale(server_process, tmp_path):
    env = {**environment(server_process), **LATIN_1, "COLUMNS": "20"}
    command = [sys.executable, "-m", "sleaprtc.worker", "--name", "größe-眼睛", "--work-dir", tmp_path / "w"]
    shown = run_on_terminal(command, env=env, columns=20, until="waits for jobs", encoding="latin-1")
    assert shown.status == 0
    assert "größe-?? is in room" in shown.text
    assert "Traceback" not in shown.text
