"""The first minutes of a new user: a worker's line is pasted, and no option is needed from then on."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ..conftest import running_server
from ..everyday.json_tables import check
from ..faults.processes import make_dataset
from ..support import prepared
from ..support.on_terminal import run_on_terminal
from ..support.ports import free_port

ROOT = Path(__file__).parents[2]
SCRIPTS = sysconfig.get_path("scripts")
TIMEOUT_SEC = 120
SECRETS = re.compile(r"'sleap-rtc://[^/]+/(?P<room>\w+)#(?P<token>\w+)\.(?P<secret>[\w-]+)'")


@pytest.fixture
def home(tmp_path):
    """A machine on which nothing was ever set."""
    (tmp_path / "home").mkdir()
    make_dataset(tmp_path / "home" / "labels.pkg.slp", 1000, 1)
    return tmp_path / "home"


def environment(home, **more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLEAP_RTC_", "XDG_"))}
    kept |= {"HOME": str(home), "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return kept | {"SLEAP_RTC_ICE_LOOPBACK": "1", "OMP_NUM_THREADS": "1", "TERM": "xterm", **more}


def at(server):
    return {"SLEAP_RTC_SIGNALING_WS": server.ws_url, "SLEAP_RTC_SIGNALING_HTTP": server.http_url}


def shell(home, line, **more):
    """Runs a line as it was pasted into bash."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=home,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )


@contextmanager
def running_worker(home, server, *options, until="waits for jobs", **more):
    """A worker that can train, by the stand-in for sleap-nn, and what it said so far."""
    env = environment(home, **(at(server) if server else {}), **more)
    words = ("tests.faults.worker", "--threads", "1", *options)
    with prepared.popen(*words, cwd=home, env=env, stderr=subprocess.STDOUT) as process:
        said = ""
        try:
            while until not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield process, said
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def pasted_line(said):
    (line,) = [line.strip() for line in said.splitlines() if line.strip().startswith("sleap-rtc ")]
    return line


def readme_blocks():
    """The commands of the README's first minutes, a block each, without the installing."""
    section = (ROOT / "README.md").read_text().partition("## The first five minutes")[2].partition("\n## ")[0]
    for block in re.findall(r"(?m)(?:^    .+\n)+", section):
        yield [line.strip() for line in block.splitlines() if "pip install" not in line]


def test_the_readme_s_first_minutes_are_true(home, tmp_path):
    """Its lines, as they stand there; the ports, sleap-nn and how long it trains are the test's own."""
    settings = home / ".config" / "sleap-rtc" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[client]\nepochs = 1\n")
    (server_line,), (worker_line,), (train_line,), later = readme_blocks()
    ports = {"SLEAP_RTC_WS_PORT": str(free_port()), "SLEAP_RTC_HTTP_PORT": str(free_port())}
    addresses = {
        "SLEAP_RTC_SIGNALING_WS": f"ws://127.0.0.1:{ports['SLEAP_RTC_WS_PORT']}/",
        "SLEAP_RTC_SIGNALING_HTTP": f"http://127.0.0.1:{ports['SLEAP_RTC_HTTP_PORT']}",
    }
    gpu_box = tmp_path / "gpu-box"
    gpu_box.mkdir()
    server = shlex.split(server_line.replace("sleap-rtc", f"{SCRIPTS}/sleap-rtc"))
    with subprocess.Popen(
        server,
        env=environment(gpu_box, **ports),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline().startswith("ready ")
            assert worker_line == "sleap-rtc worker"
            with running_worker(gpu_box, None, **addresses) as (_, said):
                pasted = pasted_line(said)
                assert pasted.partition(" 'sleap-rtc")[0] == train_line.partition(" 'sleap-rtc")[0]
                assert not re.search("[█▀▄]", said)  # a code never goes into a log
                trained = shell(home, pasted)
                assert trained.returncode == 0, trained.stderr
                shown = trained.stdout + trained.stderr
                assert shown.count("Joined room") == 1
                assert [path.name for path in (home / "models").iterdir()] == ["single_instance"]
                for line in later:
                    again = shell(home, line)
                    assert again.returncode == 0, line
                    assert "--invite" not in again.stdout + again.stderr
                joined = shell(home, "sleap-rtc join")
                kept = SECRETS.search(said)
                assert kept["room"] in joined.stdout
                assert kept["secret"] not in shown + joined.stdout
                assert kept["token"] not in joined.stdout
        finally:
            process.terminate()
            process.wait(60)
    assert [path.stat().st_mode & 0o077 for path in home.rglob("room.json")] == [0]


def test_join_forget_and_what_is_said_without_a_room(server_process, home, tmp_path):
    made = json.loads(shell(home, "sleap-rtc client room create --json", **at(server_process)).stdout)
    joined = shell(home, "sleap-rtc join -; sleap-rtc client workers", INVITE=made["invite"])
    assert "isn't an invite" in joined.stderr
    joined = shell(
        home, "echo \"export SLEAP_RTC_INVITE='$INVITE'\" | sleap-rtc join -", INVITE=made["invite"]
    )
    assert (joined.returncode, joined.stderr) == (0, "")
    assert f"Joined room {made['room_id']}" in joined.stdout
    assert made["secret"] not in joined.stdout
    assert shell(home, joined.stdout.splitlines()[-1].strip()).returncode == 4  # nobody is there
    fields = json.loads(shell(home, "sleap-rtc join --json").stdout)
    check(fields, "join")
    assert (fields["joined"], fields["room_id"], fields["has_secret"]) == (True, made["room_id"], True)
    assert not {made["token"], made["secret"]} & set(map(str, fields.values()))
    assert shell(home, "sleap-rtc join --forget").stdout == "The room is forgotten.\n"
    nowhere = shell(home, "sleap-rtc client workers")
    assert nowhere.returncode == 2
    assert "`sleap-rtc join INVITE`" in nowhere.stderr


def test_what_room_create_prints_can_be_pasted(server_process, home):
    made = shell(home, "sleap-rtc client room create", **at(server_process))
    renew = made.stdout.splitlines()[-1].partition("renewed by: ")[2]
    pasted = shell(home, f"{made.stdout}\nsleap-rtc client workers\n{renew}", **at(server_process))
    assert (pasted.returncode, pasted.stderr) == (0, "")
    assert "There is no worker in the room." in pasted.stdout
    assert " lives until " in pasted.stdout


def test_a_room_that_is_not_there_is_not_joined(server_process, home):
    made = json.loads(shell(home, "sleap-rtc client room create --json", **at(server_process)).stdout)
    for invite, status, words in (
        (made["invite"].replace("#", "#x"), 3, "Ask whoever made the room for a new invite."),
        (f"sleap-rtc://127.0.0.1:{free_port()},{free_port()}/a#bbbbbb.{made['secret']}", 5, "127.0.0.1"),
        ("sleap-rtc://gpu-box/room", 2, "one line"),
    ):
        refused = shell(home, "sleap-rtc join $INVITE", INVITE=invite)
        assert refused.returncode == status, refused.stderr
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert not [*home.rglob("room.json")]
    refused = shell(
        home, "sleap-rtc client workers --invite $INVITE", INVITE=made["invite"].replace("#", "#x")
    )
    assert refused.returncode == 3
    assert '"joined": false' in shell(home, "sleap-rtc join --json").stdout


def test_a_joined_room_that_has_ended(server_process, home):
    """A client says what to do; a worker has a new room and goes on."""
    made = json.loads(shell(home, "sleap-rtc client room create --json", **at(server_process)).stdout)
    assert shell(home, "sleap-rtc join $INVITE", INVITE=made["invite"]).returncode == 0
    with running_worker(home, None, "--name", "a") as (_, said):
        assert f"a is in room {made['room_id']}" in said
        assert made["secret"] not in said
    kept = next(home.rglob("room.json"))
    kept.write_text(kept.read_text().replace(made["room_id"], "a7f3d2e1"))
    refused = shell(home, "sleap-rtc client workers")
    assert refused.returncode == 3
    assert "run `sleap-rtc join INVITE`" in refused.stderr
    assert "`sleap-rtc join --forget`" in refused.stderr
    with running_worker(home, None, "--name", "a") as (_, said):
        assert "Making a new room." in said
        assert shell(home, pasted_line(said).replace("train labels.pkg.slp", "workers")).returncode == 0
    other = shell(home, "sleap-rtc client workers", SLEAP_RTC_SIGNALING_HTTP="http://127.0.0.1:9")
    assert other.returncode == 2
    assert "is on another server" in other.stderr


def test_a_worker_comes_back_to_its_room(server_process, home):
    """Its invite stays good over a restart, also where somebody on the same machine has joined the room."""
    worker = ("--name", "a", "--work-dir", "work")
    with running_worker(home, server_process, *worker) as (_, said):
        invite = SECRETS.search(said)
        assert f"Made room {invite['room']}." in said
        assert shell(home, f"sleap-rtc join {invite.group()}").returncode == 0
    kept = home / "work" / "room.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert "It works on this machine only" in said
    with running_worker(home, None, *worker) as (_, said):
        assert f"Back in room {invite['room']}, which this worker made" in said
        assert SECRETS.search(said).group() == invite.group()
    with running_worker(home, server_process, *worker, "--new-room") as (_, said):
        assert SECRETS.search(said)["room"] != invite["room"]


def test_a_named_room_that_has_ended_ends_the_worker(server_process, home):
    room = {"SLEAP_RTC_ROOM_ID": "a7f3d2e1", "SLEAP_RTC_TOKEN": "bbbbbb"}
    assert shell(home, "sleap-rtc worker", **at(server_process), **room).returncode == 3


def test_an_invite_names_an_address_that_others_reach(home, tmp_path):
    from sleaprtc.access.address import own_address

    with running_server(tmp_path / "open", "--host", "0.0.0.0") as server:
        addresses = {key: value.replace("0.0.0.0", "localhost") for key, value in at(server).items()}
        with running_worker(home, None, **addresses) as (_, said):
            invite = SECRETS.search(said).group()
    if own_address() is None:
        assert "It works on this machine only" in said
    else:
        assert f"//{own_address()}:" in invite
        assert f"others reach as {own_address()}" in said


# --- the QR code ----------------------------------------------------------------------------

INVITE = f"sleap-rtc://192.168.100.200:8080,8001/a7f3d2e1#f9g2h5f9g2h5.{'A' * 22}"
DRAW = "import sys; from sleaprtc.commandline.qr import qr_for; print(qr_for(sys.argv[1], sys.stdout))"


def modules(text):
    """What a camera sees of the half blocks: an image, light modules white."""
    rows = [line for line in text.splitlines() if re.search("[█▀▄]{3}", line)]
    inked = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    is_dark = "\x1b[30;107m" in rows[0]
    rows = [re.sub(r"\x1b\[[\d;]*m", "", row).rstrip("\r") for row in rows]
    width = max(map(len, rows))
    halves = [[inked[char][half] for char in row.ljust(width)] for row in rows for half in (0, 1)]
    image = np.array(halves, dtype=np.uint8) ^ int(is_dark)
    return np.kron(np.pad(image, 4, constant_values=1) * 255, np.ones((4, 4), dtype=np.uint8))


def test_a_camera_reads_the_invite_from_the_worker_s_terminal(server_process, home):
    zxingcpp = pytest.importorskip("zxingcpp")
    command = [sys.executable, "-m", "tests.faults.worker"]
    env = environment(home, **at(server_process))
    shown = run_on_terminal(command, env=env, cwd=home, until="waits for jobs")
    assert shown.status == 0
    (code,) = zxingcpp.read_barcodes(modules(shown.text))
    assert f"'{code.text}'" in shown.text
    shown = run_on_terminal([*command, "--no-qr"], env=env, cwd=home, until="waits for jobs")
    assert not re.search("[█▀▄]", shown.text)
    assert pasted_line(shown.text)


@pytest.mark.parametrize(
    ("is_drawn", "columns", "settings"),
    [
        (True, 80, {}),
        (True, 41, {"NO_COLOR": "1"}),
        (False, 30, {}),
        (False, 80, {"TERM": "dumb"}),
        (False, 80, {"PYTHONIOENCODING": "latin-1"}),
    ],
)
def test_a_code_is_drawn_where_it_can_be_seen(home, is_drawn, columns, settings):
    zxingcpp = pytest.importorskip("zxingcpp")
    command = [sys.executable, "-c", DRAW, INVITE]
    shown = run_on_terminal(command, env=environment(home, **settings), columns=columns)
    assert shown.status == 0
    assert (shown.text == "None\r\n") != is_drawn
    assert ("\x1b" in shown.text) == (is_drawn and not settings)
    if is_drawn:
        assert [code.text for code in zxingcpp.read_barcodes(modules(shown.text))] == [INVITE]
