"""Completion in the shells themselves, with the script that they are given."""

from __future__ import annotations

import functools
import subprocess
import sysconfig
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from sleaprtc.cli import main
from sleaprtc.client.__main__ import main as client
from sleaprtc.client.records.files import save

from ..support.client_jobs import a_record
from ..support.system_packages import is_missing, needs

SCRIPT = Path(sysconfig.get_path("scripts")) / "sleap-rtc"
TIMEOUT_SEC = 120
needs_bash = pytest.mark.skipif(is_missing("bash"), reason="bash isn't installed")


def run(command, **options):
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=TIMEOUT_SEC, **options
    )


def bash(line, cwd):
    """What bash's own completion offers for a line, which ends where the cursor is."""
    words = line.split(" ")
    program = f"""
    PATH="{SCRIPT.parent}:$PATH"
    eval "$(sleap-rtc completion bash)"
    COMP_WORDS=({" ".join(repr(word) for word in words)})
    COMP_CWORD={len(words) - 1}
    compopt() {{ echo "compopt $*"; }}
    $(complete -p sleap-rtc | sed 's/.*-F \\([^ ]*\\) .*/\\1/') sleap-rtc
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = run(["bash", "--norc", "-c", program], cwd=cwd, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def record():
    record = a_record(
        job_id="a7f3d2e1-1111-4111-8111-111111111111",
        worker="gpu-box",
        dataset="labels.pkg.slp",
        started_at=1.0,
    )
    save(record)
    return record


@needs_bash
def test_bash_completes_commands_options_jobs_and_files(tmp_path, record):
    assert {"worker", "client", "join", "config", "completion"} <= set(bash("sleap-rtc ", tmp_path))
    assert "--max-jobs" in bash("sleap-rtc worker --max-", tmp_path)
    assert bash("sleap-rtc client train labels", tmp_path) == ["compopt", "-o", "default"]
    assert bash("sleap-rtc client attach a", tmp_path) == [record.job_id[:8]]


def offered(*words):
    """What fits the last of the words, as every shell is told."""
    completion = ShellComplete(main, {}, "sleap-rtc", "_SLEAP_RTC_COMPLETE")
    return [item.value for item in completion.get_completions(list(words[:-1]), words[-1])]


def test_every_command_that_takes_a_job_knows_those_that_there_are(record):
    assert offered("client", "train", "--model-type", "cen") == ["centroid"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]
    taking = [
        command.name
        for command in map(functools.partial(client.get_command, None), client.list_commands(None))
        for argument in command.params
        if isinstance(argument, click.Argument) and "JOB" in (argument.metavar or "")
    ]
    assert {"attach", "status", "logs", "stop", "cancel", "fetch", "jobs"} <= set(taking)
    for name in taking:
        before = ("2M",) if name == "limit" else ()
        assert offered("client", name, *before, "") == [record.job_id[:8]], name
        assert offered("client", name, *before, "b") == [], name


@needs_bash
def test_a_broken_settings_file_says_nothing_while_one_types(tmp_path):
    (tmp_path / "sleap-rtc.toml").write_text("nonsense")
    assert bash("sleap-rtc client work", tmp_path) == ["workers"]


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        pytest.param("bash", "-n", marks=needs_bash),
        pytest.param("zsh", "-n", marks=needs("zsh", "zsh")),
        pytest.param("fish", "--no-execute", marks=needs("fish", "fish")),
    ],
)
def test_the_script_is_one_that_the_shell_takes(tmp_path, shell, check):
    script = tmp_path / "script"
    script.write_text(run([SCRIPT, "completion", shell], check=True).stdout)
    assert run([shell, check, script], check=False).returncode == 0


@needs("fish", "fish")
def test_fish_completes_jobs_with_what_they_are(tmp_path, record):
    script = run([SCRIPT, "completion", "fish"], check=True).stdout
    program = f"set -x PATH {SCRIPT.parent} $PATH; {script}; complete -C 'sleap-rtc client attach '"
    done = run(["fish", "--no-config", "-c", program], cwd=tmp_path, check=True)
    assert done.stdout.split("\t") == [record.job_id[:8], "running on gpu-box\n"]


@needs("zsh", "zsh")
def test_zsh_asks_for_jobs(tmp_path, record):
    """zsh completes in its line editor alone: the function's own words are looked at."""
    script = run([SCRIPT, "completion", "zsh"], check=True).stdout
    program = f"""
    PATH="{SCRIPT.parent}:$PATH"
    compdef() {{ : }}
    _describe() {{ print -l "${{(@P)3}}" }}
    {script}
    words=(sleap-rtc client attach ''); CURRENT=4
    _sleap_rtc_completion
    """
    done = run(["zsh", "-f", "-c", program], cwd=tmp_path, check=False)
    assert f"{record.job_id[:8]}:running on gpu-box" in done.stdout.splitlines()


def test_another_shell_is_refused():
    refused = run([SCRIPT, "completion", "tcsh"], check=False)
    assert refused.returncode == 2
    assert "bash" in refused.stderr
