"""What Ctrl-C does to a training: on a terminal it asks, and elsewhere it leaves the job running."""

import signal
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from sleaprtc.client.actions.interrupts import Choice, choice_of, question_lines
from sleaprtc.client.jobs.order.control import RunningJob
from sleaprtc.client.records.files import load_all

from ..support.emulator import OWN_TERMINAL, opened_terminal
from ..support.lab import make_labels
from ..support.waiting import until

CTRL_C = b"\x03"
PROMPT = "Press a key:"


@attrs.frozen
class AtTerminal:
    """A training that somebody watches on a terminal."""

    shown: object

    async def until(self, text):
        await trio.to_thread.run_sync(
            lambda: self.shown.wait_for(lambda lines: text in "\n".join(lines)), abandon_on_cancel=True
        )

    async def press(self, keys):
        await trio.to_thread.run_sync(self.shown.type, keys)

    async def end(self):
        """Reads to the end; returns the exit status and the screen."""

        def read():
            while self.shown.read():
                pass
            return self.shown.process.wait(120), "\n".join(self.shown.lines())

        return await trio.to_thread.run_sync(read, abandon_on_cancel=True)


@asynccontextmanager
async def training_at_terminal(client, labels, *words):
    command = ["-c", OWN_TERMINAL, "sleaprtc.client", "train", labels, "--ice-loopback", *words]
    with opened_terminal(100, 30, command, cwd=client.folder, **client.environment()) as shown:
        yield AtTerminal(shown)


@asynccontextmanager
async def asked(lab, client, labels, trainer):
    """A training that was interrupted once, after its first epoch."""
    async with lab.worker("gpu-1", trainer), training_at_terminal(client, labels) as terminal:
        await terminal.until("Epoch 1 of 4")
        await terminal.press(CTRL_C)
        await terminal.until(PROMPT)
        await terminal.until("c  continue as before")
        yield terminal


async def test_stopping_keeps_the_best_model_and_brings_it_home(lab, client, labels, trainer):
    async with asked(lab, client, labels, trainer) as terminal:
        await terminal.press(b"s")
        status, text = await terminal.end()
    assert trainer.stopped_early
    assert status == 0, text
    assert "Trained by gpu-1" in text
    assert load_all()[0].state == "completed"
    assert (client.folder / "models" / "centroid" / "best.ckpt").exists()


@pytest.mark.parametrize("keys", [b"l", CTRL_C], ids=["l", "a second Ctrl-C"])
async def test_leaving_lets_the_job_go_on(lab, client, labels, trainer, keys):
    async with asked(lab, client, labels, trainer) as terminal:
        await terminal.press(keys)
        status, text = await terminal.end()
        assert status == 130, text
        (record,) = load_all()
        assert record.state == "running"
        assert f"sleap-rtc client stop {record.job_id[:8]}" in text
        assert "Error: Interrupted; the job continues." in text
        assert trainer.running == 1
        trainer.go_on.set()
        attached = await client.run("attach", record.job_id, "--ice-loopback")
    assert attached.status == 0, attached
    assert (client.folder / "models" / "centroid" / "best.ckpt").exists()


async def test_throwing_away_ends_the_job(lab, client, labels, trainer):
    async with asked(lab, client, labels, trainer) as terminal:
        await terminal.press(b"d")
        status, text = await terminal.end()
        await until(lambda: not trainer.running)
        shown = [await client.run(command, load_all()[0].job_id) for command in ("logs", "attach", "fetch")]
    assert status == 130
    assert "Error: Cancelled." in text
    assert load_all()[0].state == "cancelled"
    assert [ended.status for ended in shown] == [0, 1, 1]
    for ended in shown:
        assert "You cancelled the job." in ended.stdout + ended.stderr


async def test_going_on_is_as_if_nothing_had_happened(lab, client, labels, trainer):
    async with asked(lab, client, labels, trainer) as terminal:
        await terminal.press(b"xc")  # the first of them means nothing
        await terminal.until("Continuing.")
        await terminal.press(CTRL_C)
        await trio.to_thread.run_sync(
            lambda: terminal.shown.wait_for(lambda lines: "\n".join(lines).count(PROMPT) == 2),
            abandon_on_cancel=True,
        )
        trainer.go_on.set()  # its end needs no answer
        status, text = await terminal.end()
    assert status == 0, text
    assert not trainer.stopped_early


async def test_what_was_typed_before_the_question_is_no_answer(lab, client, labels, trainer):
    """A person types ``d`` while the training runs, and the signal doesn't come from the keyboard."""
    async with lab.worker("gpu-1", trainer), training_at_terminal(client, labels) as terminal:
        await terminal.until("Epoch 1 of 4")
        await terminal.press(b"d")
        terminal.shown.process.send_signal(signal.SIGINT)
        await terminal.until("c  continue as before")
        await terminal.press(b"c")
        await terminal.until("Continuing.")
        trainer.go_on.set()
        status, text = await terminal.end()
    assert status == 0, text


async def test_an_interrupt_before_the_work_needs_no_question(lab, client, labels):
    async with training_at_terminal(client, labels, "--wait") as terminal:
        await terminal.until("Waiting for a worker")
        await terminal.press(CTRL_C)
        status, text = await terminal.end()
    assert status == 130
    assert PROMPT not in text
    assert "Error: Cancelled." in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_terminal_the_job_goes_on(lab, client, labels, trainer, number):
    async with lab.worker("gpu-1", trainer):
        training = await client.start("train", labels, "--ice-loopback", "--json")
        await training.until('"current_epoch": 1')
        training.process.send_signal(number)
        ended = await training.end()
        assert ended.status == 130
        (record,) = load_all()
        left = ended.objects[-2]
        assert (left["event"], left["job_id"], left["worker"]) == ("detached", record.job_id, "gpu-1")
        assert ended.objects[-1]["message"] == "Interrupted; the job continues."
        assert record.state == "running"
        assert trainer.running == 1


async def test_of_several_jobs_those_that_run_are_stopped_and_the_others_given_up(
    lab, client, labels, trainer, tmp_path
):
    second = make_labels(tmp_path / "second.pkg.slp", padding_bytes=50_000)
    async with (
        lab.worker("gpu-1", trainer),
        training_at_terminal(client, labels, second) as terminal,
    ):
        await terminal.until("Epoch 1 of 4")
        await terminal.press(CTRL_C)
        await terminal.until("c  continue as before")
        await terminal.press(b"s")
        status, text = await terminal.end()
    assert status == 1, text  # one of two
    assert "given up before" in text
    assert sorted(record.state for record in load_all()) == ["completed"]


TRAINING = RunningJob("0123456789", "gpu-1", "training", can_be_left=True)
STUCK = attrs.evolve(TRAINING, can_be_left=False)


def test_the_question_names_only_what_is_possible():
    lines = "\n".join(question_lines([TRAINING]))
    assert lines.startswith("Job 01234567 trains on gpu-1.")
    assert "best model" in lines
    assert "2 jobs run." in "\n".join(question_lines([TRAINING, TRAINING]))
    assert "the predictions so far" in "\n".join(
        question_lines([attrs.evolve(TRAINING, job_type="inference")])
    )
    assert "leave" not in "\n".join(question_lines([STUCK]))
    assert choice_of("L", [TRAINING]) is Choice.LEAVE
    assert choice_of("l", [STUCK]) is None
    assert choice_of("d", [STUCK]) is Choice.DISCARD
