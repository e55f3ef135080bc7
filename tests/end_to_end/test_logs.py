"""The log of a whole job as programs write it: each line an object, with job and peer, and no secret."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import structlog
import trio

from sleaprtc.base import logs

from ..conftest import running_server
from ..faults.processes import make_dataset
from ..server.conftest import Api
from ..support.programs import client, environment

TIMEOUT_SEC = 120
ROOT = Path(__file__).parents[2]


@contextmanager
def running_logged_worker(server, room, folder, **more):
    """A worker with a stand-in for sleap-nn; hands out where its log goes once it waits for jobs."""
    log = folder / "worker.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.faults.worker",
                "--name",
                "gpu-1",
                "--work-dir",
                str(folder / "work"),
            ],
            env=environment(server, room, **more),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            while "waits for jobs" not in (line := process.stdout.readline()):
                assert line, log.read_text()
            yield log
        finally:
            process.terminate()
            process.wait(60)


def records(text):
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        moment = datetime.fromisoformat(record["timestamp"])
        assert moment.tzinfo is not None
        assert abs((datetime.now(UTC) - moment).total_seconds()) < 600
        assert record["level"] in ("debug", "info", "warning", "error")
        assert record["event"]
        assert record["logger"]
    return found


def test_a_whole_job_as_json(tmp_path):
    dataset = make_dataset(tmp_path / "flies.pkg.slp", 1000, seed=1)
    more = {"SLEAP_RTC_LOG_FORMAT": "json", "SLEAP_RTC_LOG_LEVEL": "debug"}
    with running_server(tmp_path / "state", "--log-format", "json", "--log-level", "debug") as server:
        made = json.loads(client(server, "room", "create", "--json").stdout)
        more["SLEAP_RTC_SECRET"] = made["secret"]
        with running_logged_worker(server, made, tmp_path, **more) as log:
            ended = client(
                server,
                *(
                    "train",
                    dataset,
                    "--epochs",
                    "2",
                    "--model-type",
                    "base",
                    "--out",
                    tmp_path / "out",
                    "--json",
                ),
                room=made,
                **more,
            )
            assert ended.returncode == 0, ended.stderr
    job_id = json.loads(ended.stdout.splitlines()[-1])["job_id"]
    texts = {"worker": log.read_text(), "server": server.log.read_text(), "client": ended.stderr}
    of_worker, of_server, _ = (records(texts[name]) for name in ("worker", "server", "client"))

    assert of_worker[0]["event"] == "The worker is in the room."
    assert of_worker[0]["worker"] == "gpu-1"
    (begun,) = [record for record in of_worker if record["event"] == "The job begins."]
    peer = begun["peer"]
    of_job = of_worker[of_worker.index(begun) :]
    of_job = of_job[: [record["event"] for record in of_job].index("The job has ended.") + 1]
    assert {(record.get("job"), record.get("peer")) for record in of_job} == {(job_id, peer)}
    said = [record["event"] for record in of_job]
    for event in ("The client is connected.", "Training", "The job is done."):
        assert event in said
    assert [r.get("current_epoch") for r in of_job if r["event"] == "The job has a status."][-1] == 2

    joined = {record["peer"]: record for record in of_server if record["event"] == "A peer has joined."}
    assert set(joined) == {"gpu-1", peer}
    assert {record["peer"] for record in of_server if record["event"] == "A peer has left."} == set(joined)
    assert {record["room"] for record in joined.values()} == {made["room_id"]}

    records_dir = Path(os.environ["SLEAP_RTC_STATE_DIR"])
    keys = [json.loads(path.read_text()).get("attach_key") for path in records_dir.rglob(f"*{job_id}*.json")]
    assert keys
    assert all(keys)
    for text in texts.values():
        for secret in (made["token"], made["secret"], "eyJ", *keys):
            assert secret not in text


def test_lines_for_people_are_the_default(tmp_path):
    with running_server(tmp_path / "state") as server, httpx.Client(base_url=server.http_url) as http:
        api = Api(http)
        made = api.create_room(api.sign_in()["id_token"])
    line = server.log.read_text().splitlines()[0]
    assert line.split()[1:] == [
        "info",
        "A",
        "room",
        "was",
        "made.",
        f"room={made['room_id']}",
        "[server.hub]",
    ]
    assert line.split()[0].endswith("Z")


@pytest.fixture
def written():
    """A root logger of one's own: writes with a formatter, and hands out what was written."""

    def write(work, **options):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logs.RecordFormatter(**options))
        logger = logging.getLogger("tests.logs")
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
        try:
            work(logger)
        finally:
            logger.handlers, logger.propagate = [], True
        return stream.getvalue()

    return write


def test_a_library_s_lines_take_the_same_form(written):
    def work(logger):
        with structlog.contextvars.bound_contextvars(job="j-1", peer="client-1"):
            logger.warning("%s of %s", 1, 2)
            logger.debug("never seen")
            try:
                int("no number")
            except ValueError:
                logger.exception("It failed.")
        logger.info("elsewhere")

    first, second, third = map(json.loads, written(work, as_json=True).splitlines())
    assert (first["event"], first["level"], first["job"], first["peer"]) == (
        "1 of 2",
        "warning",
        "j-1",
        "client-1",
    )
    assert "ValueError: invalid literal" in second["exception"]
    assert "job" not in third


def test_what_looks_like_a_secret_is_hidden_wherever_it_comes_from(written):
    invite = "sleap-rtc://gpu-box/abcdefgh#tokentoken.AAECAwQFBgcICQoLDA0ODw"
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"

    def work(logger):
        logger.info("Go to %s", invite, extra={"header": f"Authorization: Bearer {token}"})
        try:
            int(token)
        except ValueError:
            logger.exception("It failed.")

    for as_json in (True, False):
        text = written(work, as_json=as_json)
        assert "sleap-rtc://gpu-box/abcdefgh" in text
        for secret in ("tokentoken", "AAECAwQ", token[:20]):
            assert secret not in text


async def test_what_is_bound_in_a_task_is_that_task_s(written):
    lines = []

    async def work(job):
        logs.bind(job=job)
        await trio.lowlevel.checkpoint()
        lines.append(json.loads(written(lambda logger: logger.info("here"), as_json=True)))

    async with trio.open_nursery() as nursery:
        for job in ("a", "b"):
            nursery.start_soon(work, job)
    assert sorted(line["job"] for line in lines) == ["a", "b"]
