"""`sleap-rtc doctor` from outside: a healthy setup, and broken ones, each with its sentence."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest
import trustme

from ..conftest import running_server
from ..everyday.json_tables import check
from ..support import prepared
from ..support.nvml_stand_in import compile_driver, needs_gcc
from ..support.ports import free_port
from ..support.programs import client, environment, running_worker
from .stand_ins import make_python, shifted_clock, stun_server, turn_server

TIMEOUT_SEC = 120
LOCAL = {"python", "packages", "engines", "disk", "gpu", "trainer", "torch", "data_channel"}
NETWORK = {"server", "clock", "sign_in", "websocket", "room", "ice"}
GOOD_VERSIONS = {"sleap-nn": "0.3.5", "torch": "2.13.0"}


def examine(env, *options):
    ended = prepared.run("sleaprtc.doctor", *options, env=env)
    assert "Traceback" not in ended.stderr
    return ended


def findings(env, *options):
    """Exit status, findings by name, and the summary."""
    ended = examine(env, *options, "--json")
    *objects, summary = [json.loads(line) for line in ended.stdout.splitlines()]
    for found in objects:
        check(found, "doctor")
        assert found["status"] in ("ok", "warning", "failed", "skipped")
        assert found["sentence"].strip()
        assert found["remedy"] or found["status"] != "failed"
    check(summary, "doctor summary")
    by_name = {found["check"]: found for found in objects}
    assert len(by_name) == len(objects)
    assert ended.returncode == summary["exit_status"]
    assert sum(summary["summary"].values()) == len(objects)
    return ended.returncode, by_name, summary


def statuses(by_name, *names):
    return [by_name[name]["status"] for name in names]


def without_server(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}
    # an address by default at which certainly nothing is
    return {**kept, "SLEAP_RTC_STATE_DIR": os.environ["SLEAP_RTC_STATE_DIR"], **more}


@pytest.fixture(scope="module")
def good_python(tmp_path_factory):
    return make_python(tmp_path_factory.mktemp("good") / "python", versions=GOOD_VERSIONS, device="cpu")


@pytest.fixture(scope="module")
def room(server_process):
    return json.loads(client(server_process, "room", "create", "--json").stdout)


def test_all_is_well_with_a_server_a_room_and_a_worker(tmp_path, good_python):
    with stun_server() as stun, running_server(tmp_path / "state", "--ice-server", stun) as server:
        made = json.loads(client(server, "room", "create", "--json").stdout)
        more = {"SLEAP_RTC_TRAINER_PYTHON": str(good_python), "SLEAP_RTC_SECRET": made["secret"]}
        env = {**environment(server, made, **more), "SLEAP_RTC_WORK_DIR": str(tmp_path / "here")}
        options = ("--name", "gpu-1", "--secret", made["secret"], "--trainer-python", str(good_python))
        with running_worker(server, tmp_path / "work", *options, room=made):
            shown = examine(env, "--worker", "gpu-1")
            status, found, _ = findings(env, "--worker", "gpu-1")
    assert (shown.returncode, status) == (0, 0), shown.stdout
    lines = [line.split()[1] for line in shown.stdout.splitlines() if line and line[0] in "✓!-"]
    assert set(lines) == LOCAL | NETWORK | {"worker"}
    assert "MiB/s" in shown.stdout
    assert {found[name]["status"] for name in (*NETWORK, "worker")} == {"ok"}
    assert (found["trainer"]["sleap_nn_version"], found["torch"]["torch_device"]) == ("0.3.5", "cpu")
    assert found["room"]["workers"] == ["gpu-1"]
    assert [server["mapped_address"] for server in found["ice"]["ice_servers"]] == ["203.0.113.7:4000"]
    assert {engine["engine"] for engine in found["data_channel"]["measurements"]} >= {"aiortc"}
    for measured in (*found["data_channel"]["measurements"], found["worker"]):
        assert measured["upload_bytes"] > 0
        assert measured["upload_mib_per_sec"] > 0
        assert measured["download_mib_per_sec"] > 0


def test_without_a_server_the_local_checks_run(tmp_path):
    env = without_server(
        SLEAP_RTC_SIGNALING_WS="", SLEAP_RTC_SIGNALING_HTTP="", SLEAP_RTC_WORK_DIR=str(tmp_path)
    )
    env |= {"SLEAP_RTC_TRAINER_PYTHON": str(make_python(tmp_path / "python", versions={}))}
    status, found, summary = findings(env)
    assert set(found) == LOCAL | NETWORK
    if found["server"]["status"] == "skipped":  # else somebody runs a server on this machine
        assert set(statuses(found, *NETWORK)) == {"skipped"}
        assert "SLEAP_RTC_INVITE" in found["server"]["remedy"]
    # a trainer's Python was named, and can't train
    assert (status, summary["summary"]["failed"]) == (1, 1)
    assert found["trainer"]["status"] == "failed"
    assert "sleap-nn isn't installed" in found["trainer"]["sentence"]
    assert "-m pip install" in found["trainer"]["remedy"]
    assert found["torch"]["status"] == "skipped"
    assert statuses(found, "python", "packages", "data_channel", "disk") == ["ok"] * 4


def test_a_server_that_is_not_there_and_a_folder_that_takes_nothing(tmp_path, good_python):
    (tmp_path / "file").write_text("")
    address = f"127.0.0.1:{free_port()}"
    env = without_server(
        SLEAP_RTC_SIGNALING_WS=f"ws://{address}/",
        SLEAP_RTC_SIGNALING_HTTP=f"http://{address}",
        SLEAP_RTC_TRAINER_PYTHON=str(good_python),
    )
    ended = examine(env, "--work-dir", tmp_path / "file" / "work")
    assert ended.returncode == 1
    said = " ".join(ended.stdout.split())
    assert f"✗ server The signaling server at http://{address} can't be reached: Connection refused." in said
    assert "sleap-rtc server" in said
    for name in ("clock", "sign_in", "websocket", "room", "ice"):
        assert f"- {name} It depends on a check that failed." in said
    assert f"✗ disk Nothing can be written to the work folder {tmp_path}/file/work: Not a directory." in said
    assert "--work-dir" in said
    assert said.endswith("2 checks failed.")


def test_a_wrong_clock_and_a_room_that_is_over(tmp_path, good_python):
    with running_server(tmp_path / "state", "--room-ttl", "0.2") as server:
        made = json.loads(client(server, "room", "create", "--json").stdout)
        time.sleep(0.3)
        with shifted_clock(server.http_url, -3 * 3600) as http_url:
            env = environment(server, made, SLEAP_RTC_TRAINER_PYTHON=str(good_python))
            status, found, _ = findings({**env, "SLEAP_RTC_SIGNALING_HTTP": http_url}, "--worker", "gpu-1")
    assert status == 1
    assert "3 hours ahead of the server's" in found["clock"]["sentence"]
    assert "set-ntp" in found["clock"]["remedy"]
    assert abs(found["clock"]["clock_error_sec"] - 3 * 3600) < 60
    assert statuses(found, "server", "sign_in", "websocket") == ["ok", "ok", "ok"]
    assert (found["room"]["status"], found["room"]["code"]) == ("failed", "ROOM_EXPIRED")
    assert "invite" in found["room"]["remedy"]
    assert statuses(found, "ice", "worker") == ["skipped", "skipped"]


def test_a_dead_stun_server_and_a_worker_that_is_not_there(server_process, room, good_python):
    env = environment(server_process, room, SLEAP_RTC_TRAINER_PYTHON=str(good_python))
    with stun_server(answers=False) as dead:
        status, found, _ = findings(env, "--ice-server", dead, "--worker", "gpu-9")
    assert status == 1
    assert found["ice"]["status"] == "failed"
    assert f"{dead}: it doesn't answer" in found["ice"]["sentence"]
    assert "There is no worker gpu-9 in the room" in found["worker"]["sentence"]


def test_a_turn_server_that_relays_and_one_that_refuses(server_process, room, good_python):
    env = environment(server_process, room, SLEAP_RTC_TRAINER_PYTHON=str(good_python))
    with turn_server(username="lab", password="right") as turn:
        status, found, _ = findings(env, "--ice-server", f"turn:lab:right@{turn}")
        assert (status, found["ice"]["status"]) == (0, "ok")
        assert [server["relayed_address"] for server in found["ice"]["ice_servers"]] == ["203.0.113.9:5000"]
        status, found, _ = findings(env, "--ice-server", f"turn:lab:wrong@{turn}")
    assert (status, found["ice"]["status"]) == (1, "failed")
    assert f"turn:{turn}: it refuses to relay: 401 Unauthorized." in found["ice"]["sentence"]
    assert "user name and password" in found["ice"]["remedy"]
    assert "wrong" not in json.dumps(found)


def test_a_server_whose_certificate_nobody_trusts(tmp_path, good_python):
    pem = tmp_path / "server.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with running_server(tmp_path / "state", "--tls-cert", str(pem), "--tls-key", str(pem)) as server:
        env = environment(server, SLEAP_RTC_TRAINER_PYTHON=str(good_python))
        status, found, _ = findings(env)
        trusting, in_room, _ = findings(env, "--tls-ca", tmp_path / "ca.pem", "--worker", "gpu-1")
    # without a room, the way into one is looked at all the same, and a worker can't be
    assert trusting == 0
    assert statuses(in_room, *NETWORK, "worker") == ["ok"] * len(NETWORK) + ["skipped"]
    assert status == 1
    assert found["server"]["code"] == "UNTRUSTED_SERVER"
    assert "--tls-ca" in found["server"]["remedy"]
    assert found["websocket"]["status"] == "skipped"


@needs_gcc
def test_a_gpu_that_torch_cannot_use_and_somebody_else_does(tmp_path, server_process, room):
    driver = compile_driver(tmp_path)
    python = make_python(
        tmp_path / "python", versions={"sleap-nn": "0.3.5", "torch": "2.13.0+cpu"}, device="cpu"
    )
    env = environment(
        server_process,
        {**room, "token": "wrong-token"},
        LD_LIBRARY_PATH=str(driver),
        USERS=f"{os.getpid()}:9000",
        SLEAP_RTC_TRAINER_PYTHON=str(python),
    )
    env.pop("CUDA_VISIBLE_DEVICES", None)
    status, found, _ = findings(env)
    assert status == 1
    assert found["gpu"]["status"] == "warning"
    assert "used by somebody else" in found["gpu"]["sentence"]
    assert f"process {os.getpid()}, 9,000 MiB" in found["gpu"]["sentence"]
    assert found["gpu"]["gpu_memory_mb"] == 16384
    assert found["trainer"]["status"] == "ok"
    assert found["torch"]["status"] == "failed"
    assert "torch 2.13.0+cpu is a build for the CPU" in found["torch"]["sentence"]
    assert f"{python} -m pip install" in found["torch"]["remedy"]
    assert found["torch"]["remedy"].endswith("/whl/cu124")
    assert (found["room"]["status"], found["room"]["code"]) == ("failed", "ROOM_NOT_FOUND")


def test_a_server_that_never_answers_holds_nobody_up(good_python):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        env = without_server(
            SLEAP_RTC_SIGNALING_WS=f"ws://{address}/",
            SLEAP_RTC_SIGNALING_HTTP=f"http://{address}",
            SLEAP_RTC_TRAINER_PYTHON=str(good_python),
        )
        status, found, _ = findings(env)
    assert status == 1
    assert "doesn't answer" in found["server"]["sentence"]
    assert "firewall" in found["server"]["remedy"]
    assert statuses(found, *LOCAL - {"engines"}) == ["ok"] * (len(LOCAL) - 1)


def test_help_says_what_it_does():
    ended = examine(dict(os.environ), "--help")
    assert ended.returncode == 0
    assert "--worker NAME" in ended.stdout
