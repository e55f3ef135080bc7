"""Labels to validate on, sent with a training as a file of their own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from sleaprtc.client.events.job import Event, Notice, Transferred, WorkersFound
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.train import training_order
from sleaprtc.client.records.files import load_all
from sleaprtc.errors import InvalidDatasetError, InvalidTrainingConfigError, NoWorkerError
from sleaprtc.protocol.features import ATTACH_FEATURE
from sleaprtc.protocol.limits import MIB
from sleaprtc.protocol.vocabulary import Purpose

from ..support.lab import LOOPBACK, Lab, ScriptedTrainer, make_labels, make_package

CONFIG = """
data_config: {val_labels_path: [held/out.pkg.slp]}
model_config: {backbone_config: {unet: {}}, head_configs: {centroid: {confmaps: {}}}}
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return make_labels(tmp_path / "flies.pkg.slp")


@pytest.fixture
def val_labels(tmp_path: Path) -> Path:
    (tmp_path / "held").mkdir()
    return make_labels(tmp_path / "held" / "out.pkg.slp", frames=2)


async def test_they_arrive_before_the_dataset(lab: Lab, labels: Path, val_labels: Path) -> None:
    trainer, events = ScriptedTrainer(), list[Event]()
    async with lab.worker("gpu-1", trainer):
        await lab.train(labels, validation=val_labels, emit=events.append)
    (job,) = trainer.jobs
    assert [path.name for path in job.validation] == ["out.pkg.slp"]
    sent = [event.name for event in events if isinstance(event, Transferred) and event.direction == "send"]
    assert list(dict.fromkeys(sent)) == ["out.pkg.slp", "flies.pkg.slp"]


async def test_without_them_a_training_has_none(lab: Lab, labels: Path) -> None:
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer):
        await lab.train(labels)
    assert trainer.jobs[0].validation == ()


async def test_a_worker_that_does_not_know_them_is_not_asked(
    lab: Lab, labels: Path, val_labels: Path
) -> None:
    trainer, events = ScriptedTrainer(), list[Event]()
    async with lab.peer("old", "worker", features=[ATTACH_FEATURE]), lab.worker("gpu-1", trainer):
        await lab.train(labels, validation=val_labels, emit=events.append)
    (found,) = [event for event in events if isinstance(event, WorkersFound)]
    assert [worker.worker for worker in found.workers] == ["gpu-1"]
    assert len(trainer.jobs) == 1


@pytest.mark.parametrize("named", [None, "old"])
async def test_if_no_worker_knows_them_nothing_is_sent(
    lab: Lab, labels: Path, val_labels: Path, named: str | None
) -> None:
    events = list[Event]()
    async with lab.peer("old", "worker", features=[ATTACH_FEATURE]):
        with pytest.raises(NoWorkerError, match=r"^old can't take validation labels \(--val\)"):
            await lab.train(labels, validation=val_labels, worker=named, emit=events.append)
    assert not [event for event in events if isinstance(event, Transferred)]


async def test_a_later_process_sends_them_again(
    lab: Lab, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(_: object) -> None:
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)
    val_labels = make_labels(tmp_path / "val.pkg.slp", padding_bytes=16 * MIB)
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:

            def leave(event: Event) -> None:
                if isinstance(event, Transferred) and event.received_bytes > 0:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(partial(lab.train, labels, validation=val_labels, emit=leave))
        (record,) = load_all()
        assert record.validation == str(val_labels)
        await attach_to_job(record, connection=LOOPBACK)
    (job,) = trainer.jobs
    assert [path.name for path in job.validation] == ["val.pkg.slp"]


async def test_a_configuration_names_them_beside_itself(
    tmp_path: Path, labels: Path, val_labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, events = tmp_path / "c.yaml", list[Event]()
    config.write_text(CONFIG)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    order = await training_order(labels, out_dir=tmp_path, configs=[config], emit=events.append)
    assert [(file.path.name, file.purpose) for file in order.inputs] == [
        ("c.yaml", Purpose.CONFIG),
        ("out.pkg.slp", Purpose.VALIDATION),
        ("flies.pkg.slp", Purpose.DATASET),
    ]
    assert Notice(f"Validating on {val_labels}, as the configuration says.") in events


async def test_named_labels_that_are_not_there(tmp_path: Path, labels: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    sentence = r"^c\.yaml names the validation labels 'held/out\.pkg\.slp', which aren't there: name .*--val"
    with pytest.raises(InvalidTrainingConfigError, match=sentence):
        await training_order(labels, out_dir=tmp_path, configs=[config])


async def test_a_package_is_no_validation_labels(tmp_path: Path, labels: Path) -> None:
    package = make_package(tmp_path / "job.zip", labels)
    with pytest.raises(InvalidDatasetError, match=r"job\.zip isn't labels \(\.slp\), which validation needs"):
        await training_order(labels, out_dir=tmp_path, validation=package)
