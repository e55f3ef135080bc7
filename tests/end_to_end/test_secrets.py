"""Rooms with a secret: who gets in, who doesn't, and what each is told."""

from __future__ import annotations

import json
import logging
import re
import stat

import attrs
import pytest
import trio

from sleaprtc.client.events.job import Notice
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.records.files import load_all, public_fields, records_dir
from sleaprtc.errors import PeerNotProvenError, RoomSecretMissingError
from sleaprtc.rtc.secret import RoomSecret

from ..support.lab import LOOPBACK, ScriptedTrainer, make_labels
from ..support.programs import client, running_worker
from ..support.waiting import until

SECRET = RoomSecret(bytes(range(16)))
WITH = attrs.evolve(LOOPBACK, secret=SECRET)
WITH_ANOTHER = attrs.evolve(LOOPBACK, secret=RoomSecret(bytes(16)))


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=100_000)


def trusted_notices(events):
    return [e for e in events if isinstance(e, Notice) and "signaling server" in e.message]


async def test_a_training_with_a_secret_goes_its_way(lab, labels, tmp_path):
    events = []
    async with lab.worker("gpu-1", connection=WITH):
        completed = await lab.train(labels, events.append, connection=WITH)
    assert completed.model_dirs == (str(tmp_path / "models" / "centroid"),)
    assert not trusted_notices(events)


async def test_without_a_secret_the_server_is_said_to_be_trusted_once(lab, labels):
    events = []
    async with lab.worker("gpu-1"):
        await lab.train(labels, events.append)
    assert len(trusted_notices(events)) == 1


@pytest.mark.parametrize(
    ("workers", "clients", "error"),
    [
        (WITH, LOOPBACK, RoomSecretMissingError),
        (LOOPBACK, WITH, RoomSecretMissingError),
        (WITH, WITH_ANOTHER, PeerNotProvenError),
    ],
    ids=["a stranger with the token", "a worker without the secret", "another secret"],
)
async def test_who_hasn_t_the_secret_gets_and_gives_nothing(lab, labels, caplog, workers, clients, error):
    trainer = ScriptedTrainer()
    with caplog.at_level(logging.WARNING, "sleaprtc.worker"):
        async with lab.worker("gpu-1", trainer, connection=workers) as agent:
            with pytest.raises(error) as refused:
                await lab.train(labels, connection=clients)
            await until(lambda: caplog.records)
            received = [path for path in agent.jobs_dir.rglob("*") if path.is_file()]
    assert refused.value.exit_status == 3
    assert (not trainer.jobs, not received) == (True, True)
    assert "was ended" in caplog.text
    for text in (caplog.text, str(refused.value)):
        assert SECRET.text not in text


async def test_a_later_process_still_has_the_secret(lab, labels, monkeypatch):
    async def say_nothing(_):
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer, connection=WITH):
        async with trio.open_nursery() as nursery:

            async def train():
                await lab.train(labels, connection=WITH)

            nursery.start_soon(train)
            await trainer.started.wait()
            nursery.cancel_scope.cancel()
        (record,) = load_all()
        trainer.go_on.set()
        completed = await attach_to_job(record, connection=LOOPBACK)
    assert len(completed.model_dirs) == 1
    (path,) = records_dir().glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET.text not in repr(record)
    assert SECRET.text not in json.dumps(public_fields(record))


# --- the programs ---------------------------------------------------------------------------


def invite_in(text):
    line = next(line.strip() for line in text.splitlines() if "SLEAP_RTC_INVITE=" in line)
    return line.partition("=")[2].strip("'")


def test_a_worker_s_own_room_is_joined_by_its_invite(server_process, tmp_path):
    with running_worker(server_process, tmp_path / "w", "--name", "own") as (_, said):
        (invite,) = re.findall(r"--invite '(\S+)'", said)
        nowhere = {
            "SLEAP_RTC_SIGNALING_WS": "ws://127.0.0.1:9/",
            "SLEAP_RTC_SIGNALING_HTTP": "http://127.0.0.1:9",
        }
        listed = client(server_process, "workers", SLEAP_RTC_INVITE=invite, **nowhere)
        assert "own" in listed.stdout, listed.stderr
    assert said.count(invite.rpartition(".")[2]) == 1


def test_a_room_is_printed_with_its_invite_first(server_process, tmp_path):
    made = client(server_process, "room", "create")
    assert made.stdout.startswith("export SLEAP_RTC_INVITE='sleap-rtc://127.0.0.1:")
    assert client(server_process, "workers", SLEAP_RTC_INVITE=invite_in(made.stdout)).returncode == 0
    shown = json.loads(client(server_process, "room", "create", "--json").stdout)
    assert shown["invite"].endswith(f"/{shown['room_id']}#{shown['token']}.{shown['secret']}")
    bare = client(server_process, "room", "create", "--no-secret")
    assert "INVITE" not in bare.stdout
    assert "SECRET" not in bare.stdout


def test_secrets_among_the_arguments_are_warned_of_once(server_process, tmp_path):
    room = json.loads(client(server_process, "room", "create", "--json").stdout)
    told = client(server_process, "workers", "--json", "--room", room["room_id"], "--token", room["token"])
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr.count("\n") == 1
    for word in ("--token", "SLEAP_RTC_TOKEN", "--token-file FILE"):
        assert word in told.stderr
    assert room["token"] not in told.stderr
    for once in ("Joined room", "Warning: everyone on this machine can read --invite"):
        told = client(server_process, "workers", "--invite", room["invite"])
        assert told.stderr.startswith(once)
        assert told.stderr.count("\n") == 1
        assert room["secret"] not in told.stderr
    (tmp_path / "token").write_text(room["token"])
    file = ("--room", room["room_id"], "--token-file", tmp_path / "token")
    told = client(server_process, "workers", "--json", *file)
    assert (told.returncode, told.stderr) == (0, "")


def test_a_cut_invite_is_exit_2_and_not_repeated(server_process):
    told = client(server_process, "workers", SLEAP_RTC_INVITE="sleap-rtc://host/room#tokentoken.cut")
    assert told.returncode == 2
    assert "tokentoken" not in told.stderr
