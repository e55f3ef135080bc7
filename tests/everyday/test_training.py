"""Trainings that are left to their worker, that wait for one, that begin again, and several at once."""

import pytest

from sleaprtc.client.commands.submitting import with_explicit_wait
from sleaprtc.client.jobs.several import folders_for
from sleaprtc.client.records.files import find, load_all
from sleaprtc.errors import TrainerError

from ..support.lab import NOT_FINITE, ScriptedTrainer, make_labels
from ..support.waiting import until

PASSING = TrainerError("The GPU fell off the bus.", error_code="GPU_LOST", recoverable=True)


class TrainerThatFailsOnce(ScriptedTrainer):
    """Its first training fails in a way that need not come again."""

    async def train(self, job, *, report, stop):
        self.failure = PASSING if not self.jobs else None
        return await super().train(job, report=report, stop=stop)


async def test_a_training_goes_on_without_its_terminal(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        detached = await client.run("train", labels, "--ice-loopback", "--detach", "--out", "models")
        assert detached.status == 0, detached
        assert trainer.running == 1
        (record,) = load_all()
        commands = [line.split("#")[0].split()[2:] for line in detached.stdout.splitlines() if "#" in line]
        assert [words[0] for words in commands] == ["status", "logs", "attach", "fetch", "stop", "cancel"]
        by_name = {words[0]: words for words in commands}
        early = await client.run(*by_name["fetch"])
        assert early.status == 75
        assert early.stderr == "Error: The job isn't finished yet: epoch 1 of 4, less than a minute left.\n"
        assert (await client.run(*by_name["status"])).status == 0
        assert (await client.run(*by_name["stop"])).status == 0

        async def is_completed():
            (status,) = (await client.run("status", record.job_id, "--json")).objects
            return status["state"] == "completed"

        await until(is_completed)
        fetched = await client.run(*by_name["fetch"])  # connects over 127.0.0.1, as the job was begun
        assert fetched.status == 0, fetched
        assert (client.folder / "models" / "centroid" / "best.ckpt").is_file()
        assert find(record.job_id).state == "completed"


async def test_a_busy_worker_is_waited_for(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        first = await client.train(labels)
        waiting = await client.start("train", "--wait", labels, "--ice-loopback", "--out", "second")
        await waiting.until("gpu-1 said busy. Waiting for a worker")
        trainer.go_on.set()
        ended = await waiting.end()
        assert ended.status == 0, ended
        assert (await client.run("fetch", first)).status == 0


async def test_who_finds_all_workers_busy_is_told_how_to_wait(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        await client.train(labels)
        refused = await client.run("train", labels, "--ice-loopback")
        waited = await client.run("train", labels, "--ice-loopback", "--wait", "0.005")
    assert (refused.status, refused.stderr) == (
        4,
        "Error: No worker accepted the job: gpu-1 said busy. "
        "With --wait, the command waits for one to become free.\n",
    )
    assert (waited.status, "--wait" in waited.stderr) == (4, False), waited


async def test_an_empty_room_is_not_said_to_lack_what_nobody_asked_for(lab, client):
    assert (await client.run("workers")).stdout == "There is no worker in the room.\n"
    assert (await client.run("workers", "--tag", "lab-3")).stdout == "No worker in the room fits.\n"


async def test_an_empty_room_is_waited_in_for_a_while(lab, client, labels):
    ended = await client.run("train", labels, "--wait", "0.01", "--json")
    assert ended.status == 4
    assert [line["event"] for line in ended.objects] == ["workers", "waiting", "workers", "error"]
    assert ended.objects[1]["patience_sec"] == 0.6
    assert "without success" in ended.stderr


async def test_a_worker_that_comes_is_taken_and_an_interrupt_ends_the_wait(lab, client, labels):
    impatient = await client.start("train", labels, "--wait")
    await impatient.until("There is no worker in the room. Waiting")
    patient = await client.start("train", labels, "--wait", "--ice-loopback", "--out", "patient")
    await patient.until("Waiting")
    impatient.interrupt()
    assert (await impatient.end()).status == 130
    async with lab.worker("gpu-1"):
        ended = await patient.end()
    assert ended.status == 0, ended


async def test_what_need_not_come_again_is_tried_on_another_worker(lab, client, labels):
    failing, working = ScriptedTrainer(failure=PASSING), ScriptedTrainer()
    async with lab.worker("gpu-1", failing), lab.worker("gpu-2", working):
        ended = await client.run("train", labels, "--ice-loopback", "--retries", "1", "--json")
        assert ended.status == 0, ended
        # Which of the two was asked first is chance, but never the same one twice in a row.
        assert ended.objects[-1]["worker"] == "gpu-2"
        retrying = [line for line in ended.objects if line["event"] == "retrying"]
        assert [line["worker"] for line in retrying] == ["gpu-1"] * len(failing.jobs)
        for line in retrying:
            assert (line["attempt"], line["attempts"]) == (2, 2)
            assert find(line["job_id"]).state == "failed"
            assert line["job_id"] != ended.objects[-1]["job_id"]


async def test_the_same_worker_gets_another_chance_where_there_is_no_other(lab, client, labels):
    trainer = TrainerThatFailsOnce()
    async with lab.worker("gpu-1", trainer):
        ended = await client.run("train", labels, "--ice-loopback", "--retries", "2")
        assert ended.status == 0, ended
        assert "Retrying, attempt 2 of 3." in ended.stdout
    assert len(trainer.jobs) == 2


async def test_what_would_come_again_is_not_tried_again(lab, client, labels):
    trainer = ScriptedTrainer(failure=NOT_FINITE)
    async with lab.worker("gpu-1", trainer):
        ended = await client.run("train", labels, "--ice-loopback", "--retries", "2")
    assert (ended.status, len(trainer.jobs)) == (1, 1)


async def test_several_datasets_share_the_workers(lab, client, tmp_path):
    datasets = [make_labels(tmp_path / f"{name}.pkg.slp") for name in ("one", "two", "three")]
    trainers = [ScriptedTrainer(), ScriptedTrainer()]
    async with lab.worker("gpu-1", trainers[0]), lab.worker("gpu-2", trainers[1]):
        ended = await client.run("train", *datasets, "--ice-loopback", "--json")
    assert ended.status == 0, ended
    names = {line["job_id"]: line["dataset"] for line in ended.objects if line["event"] == "job"}
    assert sorted(names.values()) == sorted(map(str, datasets))
    done = {names[line["job_id"]]: line for line in ended.objects if line["event"] == "completed"}
    assert [done[str(path)]["model_dirs"] for path in datasets] == [
        [f"models/{name}/centroid"] for name in ("one", "two", "three")
    ]
    assert all(line["job_id"] in names for line in ended.objects)
    assert sum(len(trainer.jobs) for trainer in trainers) == 3


async def test_an_interrupt_leaves_those_of_several_that_run(lab, client, tmp_path):
    datasets = [make_labels(tmp_path / f"{name}.pkg.slp") for name in ("one", "two", "three")]
    trainers = [ScriptedTrainer(hold=True), ScriptedTrainer(hold=True)]
    async with lab.worker("gpu-1", trainers[0]), lab.worker("gpu-2", trainers[1]):
        running = await client.start("train", *datasets, "--ice-loopback")
        await running.until("said busy")
        for trainer in trainers:
            await trainer.started.wait()
        running.interrupt()
        ended = await running.end()
        assert (ended.status, ended.stderr) == (130, "Error: Interrupted; 2 jobs continue.\n")
        assert [trainer.running for trainer in trainers] == [1, 1]
        for record in load_all():
            assert record.state == "running"
            assert f"Job {record.job_id[:8]} runs on {record.worker} and continues without" in ended.stdout


async def test_one_of_several_that_fails_is_in_the_table_and_the_exit_status(lab, client, tmp_path):
    good = make_labels(tmp_path / "good.pkg.slp")
    bad = make_labels(tmp_path / "bad.pkg.slp", embedded=False)
    async with lab.worker("gpu-1"):
        ended = await client.run("train", bad, good, "--ice-loopback")
    assert ended.status == 2, ended
    assert ended.stderr == "Error: 1 of 2 jobs failed.\n"
    rows = [[cell.strip() for cell in line.split("│")] for line in ended.stdout.splitlines() if "│" in line]
    assert [(row[1], row[4]) for row in rows if row[1]] == [
        ("bad.pkg.slp", "failed"),
        ("good.pkg.slp", "trained"),
    ]
    assert (client.folder / "models" / "good" / "centroid").is_dir()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--wait", "a.slp"], ["--wait=forever", "a.slp"]),
        (["--wait", "5", "a.slp"], ["--wait", "5", "a.slp"]),
        (["a.slp", "--wait"], ["a.slp", "--wait=forever"]),
        (["--wait", "--json", "--", "--wait"], ["--wait=forever", "--json", "--", "--wait"]),
        (["--wait=2.5", "a.slp"], ["--wait=2.5", "a.slp"]),
    ],
)
def test_wait_may_stand_alone(given, meant):
    assert with_explicit_wait(given) == meant


def test_each_dataset_has_a_folder_of_its_own(tmp_path):
    datasets = [tmp_path / name for name in ("a/fly.pkg.slp", "b/fly.slp", "fly-2.slp", "c/fly.zip", ".slp")]
    folders = folders_for(datasets, tmp_path)
    assert [folder.name for folder in folders] == ["fly", "fly-2", "fly-2-2", "fly-3", ".slp"]
