"""The programs from outside: what they print, and how they end."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ..support import prepared
from ..support.lab import make_labels
from ..support.programs import client, environment, running_worker


@pytest.fixture(scope="module")
def room(server_process):
    made = client(server_process, "room", "create", "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_a_room_is_printed_ready_to_paste(server_process):
    made = client(server_process, "room", "create")
    assert made.returncode == 0
    assert "export SLEAP_RTC_ROOM_ID=" in made.stdout
    assert f"SLEAP_RTC_SIGNALING_WS={server_process.ws_url}" in made.stdout


def test_no_worker_is_exit_4(server_process, room, tmp_path):
    labels = make_labels(tmp_path / "a.slp")
    ended = client(server_process, "train", labels, "--out", tmp_path / "out", room=room)
    assert ended.returncode == 4
    assert ended.stderr == "Error: There is no worker in the room.\n"


def test_errors_are_json_too(server_process, room, tmp_path):
    labels = make_labels(tmp_path / "a.slp")
    ended = client(server_process, "train", labels, "--json", "--out", tmp_path / "out", room=room)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [event["event"] for event in events] == ["workers", "error"]
    assert (events[-1]["code"], events[-1]["exit_status"]) == ("NO_WORKER", 4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "missing.slp"], "does not exist"),
        (["train", __file__, "--epochs", "0"], "0 is not in the range"),
        (["train", __file__, "--model-type", "basic"], "'basic' is not one of"),
        (["train", __file__], "can't be read as SLEAP labels"),
        (["workers", "--property", "gpu"], "isn't a condition"),
        (["workrs"], "No such command"),
    ],
)
def test_wrong_input_is_exit_2(server_process, room, arguments, sentence):
    ended = client(server_process, *arguments, room=room)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_command_of_the_client_s_is_pointed_to():
    ended = subprocess.run(
        [sys.executable, "-c", "from sleaprtc.cli import main; main()", "train", "labels.slp"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2
    assert ended.stderr.endswith("Error: No such command 'train'. Did you mean: sleap-rtc client train\n")


def test_no_room_is_exit_2(server_process, tmp_path):
    ended = client(server_process, "workers")
    assert ended.returncode == 2
    assert "--room" in ended.stderr
    ended = client(server_process, "workers", "--room", "abc")
    assert ended.returncode == 2
    assert "--token" in ended.stderr


def test_a_wrong_token_is_exit_3(server_process, room):
    ended = client(server_process, "workers", room={**room, "token": "wrong-token"})
    assert ended.returncode == 3
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1


def test_no_server_is_exit_5(server_process, room):
    ended = client(server_process, "workers", room=room, SLEAP_RTC_SIGNALING_HTTP="http://127.0.0.1:9")
    assert ended.returncode == 5
    assert "127.0.0.1:9" in ended.stderr


def test_a_worker_without_sleap_nn_says_so_and_refuses(server_process, room, tmp_path):
    pytest.importorskip("h5py")
    if _has_sleap_nn():
        pytest.skip("this environment can train")
    labels = make_labels(tmp_path / "a.slp")
    with running_worker(server_process, tmp_path / "w", "--name", "bare", room=room) as (_, said):
        assert "can't train" in said
        listed = client(server_process, "workers", "--json", room=room)
        (worker,) = [json.loads(line) for line in listed.stdout.splitlines()]
        assert (worker["worker"], worker["supported_models"]) == ("bare", [])
        ended = client(server_process, "train", labels, "--out", tmp_path / "out", room=room)
        assert ended.returncode == 4
        assert "bare said unsupported_" in ended.stderr


def _has_sleap_nn():
    from importlib.util import find_spec

    return find_spec("sleap_nn") is not None


def test_a_worker_makes_a_room_and_leaves_on_a_signal(server_process, tmp_path):
    with running_worker(server_process, tmp_path / "w", "--name", "own") as (process, said):
        (room_id, token) = re.search(r"/(\w+)#(\w+)\.", said).groups()
        room = {"room_id": room_id, "token": token}
        listed = client(server_process, "workers", "--tag", "sleap-rtc", room=room)
        assert "own" in listed.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    gone = client(server_process, "workers", "--json", room=room)
    assert gone.stdout == ""


def test_a_name_twice_is_exit_3(server_process, room, tmp_path):
    with running_worker(server_process, tmp_path / "w", "--name", "twin", room=room):
        second = prepared.run(
            "sleaprtc.worker",
            "--name",
            "twin",
            "--work-dir",
            str(tmp_path / "v"),
            env=environment(server_process, room),
        )
    assert second.returncode == 3
    assert second.stderr.startswith("Error: ")


def test_settings_come_from_a_file(server_process, room, tmp_path):
    (tmp_path / "lab.toml").write_text(
        f'room = "{room["room_id"]}"\ntoken = "{room["token"]}"\n[worker]\nname = "from-file"\n'
    )
    with running_worker(server_process, tmp_path / "w", "--config-file", str(tmp_path / "lab.toml")) as (
        _,
        said,
    ):
        assert "from-file is in room" in said


def test_a_misspelt_setting_is_exit_2(server_process, tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('[worker]\nnmae = "a"\n')
    ended = prepared.run("sleaprtc.worker", "--config-file", str(path), env=environment(server_process))
    assert ended.returncode == 2
    assert ended.stderr.endswith('lab.toml, line 2: [worker] has no setting "nmae"; did you mean "name"?\n')


def test_ctrl_c_while_waiting_for_answers_is_130(server_process, room, tmp_path):
    """A worker that never answers keeps the client waiting; here, nobody answers a long discovery."""
    labels = make_labels(tmp_path / "a.slp")
    with running_worker(server_process, tmp_path / "w", "--name", "stopped", room=room) as (worker, _):
        worker.send_signal(signal.SIGSTOP)
        try:
            with subprocess.Popen(
                [
                    *(sys.executable, "-m", "sleaprtc.client", "train", str(labels), "--worker", "stopped"),
                    *("--response-timeout", "60", "--out", str(tmp_path / "out")),
                ],
                env=environment(server_process, room),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                assert "1 worker" in process.stdout.readline()
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                _, stderr = process.communicate(timeout=120)
        finally:
            worker.send_signal(signal.SIGCONT)
    assert process.returncode == 130
    assert stderr == "Error: Cancelled.\n"


def test_a_room_of_ones_own_can_be_renewed(server_process, tmp_path):
    state = {"SLEAP_RTC_STATE_DIR": str(tmp_path / "state")}
    made = json.loads(client(server_process, "room", "create", "--json", **state).stdout)
    renewed = client(server_process, "room", "renew", made["room_id"], **state)
    assert renewed.returncode == 0, renewed.stderr
    assert renewed.stdout.startswith(f"Room {made['room_id']} lives until ")
    elsewhere = client(server_process, "room", "renew", made["room_id"])
    assert elsewhere.returncode == 2
    assert "wasn't made" in elsewhere.stderr


def test_the_wrong_port_is_said_to_be_wrong(server_process, room):
    http_port = server_process.http_url.replace("http://", "ws://")
    ended = client(server_process, "workers", room=room, SLEAP_RTC_SIGNALING_WS=http_port)
    assert ended.returncode == 5
    assert ended.stderr == f"Error: What answers at {http_port} is not a signaling server.\n"


def test_settings_reach_every_command(server_process, room, tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(
        f'room = "{room["room_id"]}"\ntoken = "{room["token"]}"\n'
        f'signaling-http = "{server_process.http_url}"\nsignaling-ws = "{server_process.ws_url}"\n'
        '[client]\nout = "models"\nselect = "soonest"\ntag = ["a"]\nproperty = ["b>=1"]\n'
    )
    for command in (["room", "create"], ["workers"], ["jobs"]):
        ended = prepared.run(
            "sleaprtc.client",
            "--config-file",
            str(path),
            *command,
            env={key: value for key, value in os.environ.items() if key != "SLEAP_RTC_ROOM_ID"},
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_killed_worker_gets_its_name_back(server_process, room, tmp_path):
    """Also while the server still holds the old connection for alive, here by a stopped process."""
    options = ["--name", "phoenix"]
    with running_worker(server_process, tmp_path / "w", *options, room=room) as (first, _):
        first.send_signal(signal.SIGSTOP)
        try:
            (tmp_path / "v").mkdir(mode=0o700)
            (tmp_path / "v" / "resume.json").write_text((tmp_path / "w" / "resume.json").read_text())
            with running_worker(server_process, tmp_path / "v", *options, room=room) as (_, said):
                assert "phoenix is in room" in said
        finally:
            first.kill()


def test_two_workers_do_not_share_a_folder(server_process, room, tmp_path):
    with running_worker(server_process, tmp_path / "w", "--name", "a", room=room):
        second = prepared.run(
            "sleaprtc.worker",
            "--name",
            "b",
            "--work-dir",
            str(tmp_path / "w"),
            env=environment(server_process, room),
        )
    assert second.returncode == 1
    assert "--work-dir" in second.stderr
