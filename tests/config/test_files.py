"""Settings files: what is read, which one has the say, and how what is wrong is said."""

from __future__ import annotations

import json
import os
import re
import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc.config.files import merged, read_file, read_files
from sleaprtc.config.toml_lines import lines_of
from sleaprtc.errors import UsageError

from ..everyday.json_tables import check
from ..support import prepared

TIMEOUT_SEC = 120


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory in a project, with a user's folder of its own."""
    folder = tmp_path / "project" / "deep" / "down"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "user" / "sleap-rtc")
    (tmp_path / "user" / "sleap-rtc").mkdir(parents=True)
    return folder


# --- what is wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "\n[worker]\n\nmax-job = 2\n",
            'line 4: [worker] has no setting "max-job"; did you mean "max_jobs"?',
        ),
        ('rom = "a"\n', 'line 1: there is no setting "rom" above the sections; did you mean "room"?'),
        (
            "max_jobs = 2\n",
            'line 1: there is no setting "max_jobs" above the sections; it belongs below [worker].',
        ),
        (
            'limit_rate = "much"\n',
            "line 1: limit_rate can't be used: 'much' is not a rate; examples are 500K, 2M and 1.5G bytes a "
            'second, or "none".',
        ),
        ("[worker]\nlimit_rate = 5000\n", "line 2: [worker] limit_rate must be a rate in quotes, not 5000."),
        ("[client]\nthreads = 2\n", 'line 2: [client] has no setting "threads"; it belongs below [worker].'),
        (
            '[server]\nroom = "a"\n',
            'line 2: [server] has no setting "room"; that one is for workers and clients.',
        ),
        ("[wroker]\nmax_jobs = 2\n", "line 1: there is no section [wroker]; did you mean [worker]?"),
        ("worker = 3\n", "line 1: worker is a section: write [worker] on a line of its own."),
        ('[worker]\nmax_jobs = "two"\n', 'line 2: [worker] max_jobs must be a whole number, not "two".'),
        ("[worker]\nmax_jobs = 2.5\n", "line 2: [worker] max_jobs must be a whole number, not 2.5."),
        ("[worker]\nmax_jobs = true\n", "line 2: [worker] max_jobs must be a whole number, not true."),
        ("[worker]\nmax_jobs = 65\n", "line 2: [worker] max_jobs must be from 1 to 64, not 65."),
        ("[worker]\nmax_hours = -1\n", "line 2: [worker] max_hours must be 0 or more, not -1."),
        ("[worker]\nmax_hours = nan\n", "line 2: [worker] max_hours must be 0 or more, not nan."),
        ("[client]\nlearning_rate = 0\n", "line 2: [client] learning_rate must be more than 0, not 0."),
        (
            "[server]\nroom_ttl = 0\n",
            "line 2: [server] room_ttl must be more than 0 and at most 31622400, not 0.",
        ),
        ("[client]\ntag = [1]\n", "line 2: [client] tag must be a text in quotes or a list of them."),
        ('ice_loopback = "yes"\n', 'line 1: ice_loopback must be true or false, not "yes".'),
        (
            'engine = "aiortcc"\n',
            'line 1: engine must be one of auto, aiortc, libwebrtc, not "aiortcc"; did you mean "aiortc"?',
        ),
        ("token = 12345\n", "line 1: token must be a text in quotes."),
        (
            "[worker]\nmax-jobs = 1\nmax_jobs = 2\n",
            'line 3: "max_jobs" is set twice: "max_jobs" and "max-jobs" are the same setting.',
        ),
        ("[worker]\nmax_jobs =\n", "line 2: this isn't valid TOML: Invalid value."),
        ("\na = '''\nb = 1\n", "line 2: this isn't valid TOML: Expected \"'''\"."),
    ],
)
def test_a_sentence_names_file_line_and_what_was_meant(here, text, sentence):
    path = here / "sleap-rtc.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_files()
    assert str(refused.value) == f"sleap-rtc.toml, {sentence}"


def test_what_is_no_text_or_cannot_be_read_is_said(here):
    path = here / "sleap-rtc.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="isn't text in UTF-8"):
        read_file(path)
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read_file(here)


@pytest.mark.parametrize("program", ["client", "worker", "server"])
def test_every_program_checks_the_whole_file(here, program):
    (here / "sleap-rtc.toml").write_text("[worker]\nmax-job = 1\n")
    words = ["workers"] if program == "client" else []
    ended = prepared.run(f"sleaprtc.{program}", *words, env=os.environ)
    assert ended.returncode == 2
    assert ended.stderr == (
        'Error: sleap-rtc.toml, line 2: [worker] has no setting "max-job"; did you mean "max_jobs"?\n'
    )


@pytest.mark.parametrize(
    ("words", "text", "variables", "sentence"),
    [
        (
            ["sleaprtc.worker"],
            '[worker]\ntrainer_python = "gone/python"\n',
            {},
            "File 'gone/python' does not exist. That is what sleap-rtc.toml, line 2, says.",
        ),
        (
            ["sleaprtc.client", "train", "sleap-rtc.toml"],
            '[client]\nconfig = ["a.yaml"]\n',
            {},
            "File 'a.yaml' does not exist. That is what sleap-rtc.toml, line 2, says.",
        ),
        (
            ["sleaprtc.worker"],
            "",
            {"SLEAP_RTC_MAX_HOURS": "long"},
            "'long' is not a valid float range. That is what SLEAP_RTC_MAX_HOURS says.",
        ),
        (
            ["sleaprtc.worker"],
            "",
            {"SLEAP_RTC_LIMIT_RATE": "1"},
            "'1' is too low for a limit; the lowest is 1K, which is 1024 bytes a second. "
            "That is what SLEAP_RTC_LIMIT_RATE says.",
        ),
        (
            ["sleaprtc.worker", "--max-jobs", "0"],
            "[worker]\nmax_jobs = 2\n",
            {},
            "0 is not in the range 1<=x<=64.",
        ),
    ],
)
def test_a_value_that_only_the_program_can_judge_is_found_too(here, words, text, variables, sentence):
    (here / "sleap-rtc.toml").write_text(text)
    ended = prepared.run(*words, env={**os.environ, **variables})
    assert ended.returncode == 2
    assert ended.stderr.rstrip().endswith(sentence)


# --- on which line --------------------------------------------------------------------------

HARD = '''\
# [worker]
a = "x # = [b]"
"quoted key" = 1
list = [
  "b = 2",

  # c = 3
  "]",
]
text = """ \u2028 one line
[not.a.table]
d = 4
"""
inline = { e = 1, f.g = 2 }
dotted.h = 5

[ worker ] # d = 1
i = 6
[[many]]
j = 7
[deep.er]
"k" = 8
'''


def test_lines_are_found_in_any_toml():
    lines = lines_of(HARD)
    text = HARD.split("\n")
    for keys, line in lines.items():
        assert keys[-1] in text[line - 1]
    assert lines["list",] == 4
    assert lines["text",] == 10
    assert lines["inline", "f", "g"] == 14
    assert lines["worker", "i"] == 18
    assert lines["deep", "er", "k"] == 22
    assert not [keys for keys in lines if set(keys) & {"b", "c", "d", "not"}]

    def leaves(content, path=()):
        for key, value in content.items():
            yield (*path, key)
            if isinstance(value, dict):
                yield from leaves(value, (*path, key))

    assert set(leaves(tomllib.loads(HARD))) - {("deep",)} <= set(lines) | {("many",)}


LINES = [
    *HARD.split("\n"),
    "[worker]",
    "[[worker]]",
    "max-jobs = 2",
    "room = 'a'",
    "= 3",
    "a = [",
    "]",
    '"""',
    "\r",
]


@example("\r0")  # a carriage return alone ends no line
@example("\rA")
@given(st.one_of(st.lists(st.sampled_from(LINES), max_size=12).map("\n".join), st.text(max_size=60)))
def test_no_text_makes_it_stumble(tmp_path_factory, text):
    """Whatever stands in a file, it is read, or said to be wrong on a line that it has."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        file = read_file(path)
    except UsageError as error:
        found = re.search(r", line (\d+): ", str(error))
        assert found is None or 1 <= int(found[1]) <= text.count("\n") + 1
    else:
        for program in ("worker", "client", "server"):
            assert all(value.line is not None for value in file.values(program).values())


# --- which file -----------------------------------------------------------------------------


def test_the_nearest_project_comes_before_the_user(here, tmp_path):
    user = tmp_path / "user" / "sleap-rtc" / "config.toml"
    user.write_text('engine = "aiortc"\nroom = "of-user"\n[worker]\nmax_jobs = 3\nthreads = 4\n')
    above = tmp_path / "project" / "sleap-rtc.toml"
    above.write_text(
        'room = "above"\ntoken-file = "token"\n[worker]\nmax-jobs = 2\ntrainer_python = "~/python"\n'
    )
    (tmp_path / "sleap-rtc.toml").write_text("[worker]\nthreads = 9\n")
    files, warnings = read_files()
    assert warnings == []
    found = merged(files, "worker")
    assert {name: (value.value, value.line) for name, value in found.items()} == {
        "engine": ("aiortc", 1),
        "room": ("above", 1),
        "token_file": (str(tmp_path / "project" / "token"), 2),
        "max_jobs": (2, 4),
        "threads": (4, 5),
        "trainer_python": (os.path.expanduser("~/python"), 5),  # noqa: PTH111
    }
    assert found["max_jobs"].label == str(above)
    (here / "sleap-rtc.toml").write_text('[worker]\ntrainer_python = "venv/python"\n')
    found = merged(read_files()[0], "worker")
    assert found["trainer_python"].value == "venv/python"
    assert found["trainer_python"].label == "sleap-rtc.toml"
    assert found["room"].value == "of-user"  # one project's file is read, not all that are above
    files, _ = read_files(above)
    assert "engine" not in merged(files, "worker")


def test_a_file_of_somebody_else_is_passed_over_with_a_warning(here, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "project" / "sleap-rtc.toml"
    path.write_text('[worker]\ntrainer_python = "/tmp/trap"\n')
    os.chown(path, 12345, 12345)
    ended = config("show")
    assert ended.returncode == 0
    assert "belongs to somebody else" in ended.stderr
    assert "trap" not in ended.stdout
    assert "isn't read" in config("path").stdout
    assert "trap" in config("show", "--config-file", path).stdout


# --- what is set ----------------------------------------------------------------------------


def config(*words, **more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}
    return prepared.run(
        "sleaprtc",
        "config",
        *map(str, words),
        env={**kept, "SLEAP_RTC_STATE_DIR": os.environ["SLEAP_RTC_STATE_DIR"], **more},
    )


def test_each_value_says_where_it_comes_from_and_secrets_are_left_out(here):
    (here / "sleap-rtc.toml").write_text(
        'room = "lab"\ntoken = "top-secret"\n\n[worker]\nmax_jobs = 2\n[client]\ntoken = "hush-hush"\n'
    )
    given = {"SLEAP_RTC_MAX_HOURS": "12", "SLEAP_RTC_ICE_SERVER": "turn:me:word@relay:1 stun:relay:2"}
    shown = config("show", "--json", **given)
    assert (shown.returncode, shown.stderr) == (0, "")
    found = {(row["program"], row["setting"]): row for row in map(json.loads, shown.stdout.splitlines())}
    for row in found.values():
        check(row, "config show")

    def where(program, name):
        row = found[program, name]
        return row["value"], row["source"], row["variable"] or row["file"], row["line"]

    assert where("worker", "max_jobs") == (2, "file", "sleap-rtc.toml", 5)
    assert where("worker", "max_hours") == (12.0, "environment", "SLEAP_RTC_MAX_HOURS", None)
    assert where("worker", "threads") == (None, "default", None, None)
    assert where("client", "room") == ("lab", "file", "sleap-rtc.toml", 1)
    assert where("worker", "token") == (None, "file", "sleap-rtc.toml", 2)
    assert where("client", "token") == (None, "file", "sleap-rtc.toml", 7)
    assert where("server", "ice_server")[0] == ["turn:me:***@relay:1", "stun:relay:2"]
    plain = config("show", **given)
    content = tomllib.loads(plain.stdout)
    assert (content["room"], content["worker"]["max_jobs"], content["server"]["ws_port"]) == ("lab", 2, 8080)
    assert "sleap-rtc.toml:5" in plain.stdout
    for secret in ("top-secret", "hush-hush", "word"):
        assert secret not in shown.stdout + plain.stdout


def test_a_folder_that_is_gone_has_no_project(here):
    here.rmdir()
    for command in ("show", "path"):
        shown = config(command)
        assert (shown.returncode, shown.stderr) == (0, "")


def test_an_invite_says_room_and_server(here):
    invite = f"sleap-rtc://gpu-box/a7f3d2e1#f9g2h5f9.{'A' * 22}"
    (here / "sleap-rtc.toml").write_text('room = "lab"\ntoken = "top-secret"\n')
    shown = config("show", "--json", SLEAP_RTC_INVITE=invite)
    found = {
        row["setting"]: row
        for row in map(json.loads, shown.stdout.splitlines())
        if row["program"] == "client"
    }
    assert (found["invite"]["source"], found["invite"]["value"]) == ("environment", None)
    assert (found["signaling_ws"]["value"], found["signaling_ws"]["source"]) == (
        "ws://gpu-box:8080/",
        "invite",
    )
    assert not found["room"]["is_set"]
    assert not found["token"]["is_set"]
    assert config("show", SLEAP_RTC_INVITE="nonsense").returncode == 2


def test_the_files_that_are_looked_at_are_listed_even_where_one_is_broken(here, tmp_path):
    (here / "sleap-rtc.toml").write_text("nonsense")
    listed = config("path", "--json")
    rows = {row["what"]: row for row in map(json.loads, listed.stdout.splitlines())}
    for row in rows.values():
        check(row, "config path")
    assert rows["project"]["path"] == str(here / "sleap-rtc.toml")
    assert rows["project"]["is_read"]
    assert not rows["user"]["is_read"]
    assert not rows["room"]["is_read"]
    broken = config("show")
    assert broken.returncode == 2
    assert broken.stderr.startswith("Error: sleap-rtc.toml, line 1: ")
