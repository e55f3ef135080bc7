"""Every object that a command prints with ``--json`` is as ``docs/reference/json.md`` says."""

import inspect
import subprocess
import sys
import time
from typing import get_args

import attrs
import pytest

from sleaprtc.client import events
from sleaprtc.client.events.model import ModelReport
from sleaprtc.client.jobs.inquiries.state import JobState
from sleaprtc.client.records.files import SECRET_FIELDS, JobRecord, save
from sleaprtc.commandline.run import CommandFailed

from ..support.lab import ScriptedTrainer, make_labels
from .json_tables import TABLES, check, read_tables

PARTS = {
    "client workers": events.WorkerSummary,
    "answer": events.AnswerSummary,
    "model report": ModelReport,
    "client jobs": JobRecord,
    "job_state": JobState,
}
PRINTED = (*get_args(events.Event), *get_args(events.OrderDone), events.LogLine, CommandFailed)
EVENTS = {cls.event: cls for cls in PRINTED}


@pytest.mark.parametrize("name", [*PARTS, *EVENTS])
def test_each_field_is_documented(name):
    cls = PARTS.get(name) or EVENTS[name]
    fields = {field.name for field in attrs.fields(cls)} - set(SECRET_FIELDS)
    added = {"event", "job_id"} if name in EVENTS else {"event"} if name == "job_state" else set()
    optional = {field for field, wanted in TABLES[name].items() if wanted.is_optional}
    documented = TABLES[name].keys() - optional - (added - fields)
    assert documented == fields


def test_all_types_are_types():
    for name, table in TABLES.items():
        for field, wanted in table.items():
            for kind in wanted.types:
                inner = kind.removeprefix("list of ")
                assert inner.strip("`") in TABLES or inner in (
                    "string",
                    "integer",
                    "number",
                    "boolean",
                    "object",
                    "null",
                ), f"{name}.{field}"


def test_a_table_that_is_wrong_is_seen():
    rows = ["### `a`", "| field | type | meaning |", "|---|---|---|", "| `b` | optional string | c |"]
    table = read_tables("\n".join(rows))
    assert (table["a"]["b"].types, table["a"]["b"].is_optional) == (("string",), True)
    for wrong in (
        {"event": "log", "job_id": "1", "line": "x"},
        {"version": 1, "event": "log", "job_id": 1, "line": "x"},
        {"version": 1, "event": "log", "line": "x"},
        {"version": 1, "event": "log", "job_id": "1", "line": "x", "more": 1},
        {"version": 1, "event": "unheard of"},
    ):
        with pytest.raises(AssertionError):
            check(wrong)


async def test_every_command(lab, client, labels, trainer, tmp_path):
    seen = set()

    async def run(*words, status=0):
        ended = await client.run(*words, "--json")
        assert ended.status == status, ended
        for printed in ended.objects:
            command = "client " + " ".join(words[: 2 if words[0] == "room" else 1])
            check(printed, command)
            seen.add(printed.get("event", command))
        return ended.objects

    await run("room", "create")
    await run("train", labels, "--wait", "0.05", status=4)
    await run("status", "nothing", status=2)
    async with lab.worker("gpu-1", trainer), lab.worker("gpu-2", ScriptedTrainer()):
        await run("workers")
        await run("train", labels, "--detach", "--worker", "gpu-1", "--ice-loopback")
        (job,) = await run("jobs")
        await run("status", job["job_id"])
        await run("logs", job["job_id"])
        await run("fetch", job["job_id"], status=75)
        await run("stop", job["job_id"])
        await run("logs", "-f", job["job_id"])
        attached = [*await run("attach", job["job_id"]), *await run("fetch", job["job_id"])]
        assert {"connected", "status", "completed"} <= {printed["event"] for printed in attached}
        assert {printed["job_id"] for printed in attached} == {job["job_id"]}
        await run("purge", job["job_id"])
        (cancelled,) = (await run("train", labels, "--detach", "--worker", "gpu-2", "--ice-loopback"))[-1:]
        await run("cancel", cancelled["job_id"])
        bad = make_labels(tmp_path / "bad.slp", embedded=False)
        await run("train", labels, bad, "--ice-loopback", "--worker", "gpu-2", status=2)
        await run("jobs", "--forget")
    parts = {"answer", "model report"}
    rare = {"worker_lost", "notice", "retrying", "log", "limited"}  # the last three are in other tests
    assert seen >= TABLES_OF_CLIENT - parts - rare


TABLES_OF_CLIENT = {name for name in TABLES if name.startswith("client ") or name in EVENTS} | {"job_state"}


def test_every_event_has_a_name():
    classes = [cls for _, cls in inspect.getmembers(events, inspect.isclass) if hasattr(cls, "event")]
    assert set(classes) <= set(EVENTS.values()) | {events.ModelReport}


async def test_a_line_is_there_as_soon_as_it_is_known(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        running = await client.start("train", labels, "--ice-loopback", "--json")
        await running.until('"current_epoch": 1')
        trainer.go_on.set()
        ended = await running.end()
    assert ended.status == 0
    for printed in ended.objects:
        check(printed)
    assert ended.objects[-1]["event"] == "completed"


def test_who_has_read_enough_hears_no_more():
    save(
        JobRecord("job", "key", "gpu-1", "ws:", "http:", "room", "token", "a.slp", (), "models", time.time())
    )
    command = [sys.executable, "-m", "sleaprtc.client", "jobs", "--json", "job"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        stderr = process.stderr.read()
        assert (process.wait(60), stderr) == (141, "")
