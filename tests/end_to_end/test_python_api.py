"""The Python API, as a script or a notebook uses it."""

import asyncio
import traceback

import numpy as np
import pytest
import trio

import sleaprtc
from sleaprtc.client.events.job import Retrying, Waiting
from sleaprtc.client.jobs.order.settings import TrainingSettings
from sleaprtc.errors import NoWorkerError, TrainerError, UsageError

from ..support.lab import ScriptedTrainer, make_labels, make_model, make_video
from ..support.waiting import until


async def test_train_and_workers(lab, tmp_path):
    labels, events = make_labels(tmp_path / "a.pkg.slp"), []
    addresses = {"signaling_ws": lab.endpoints.ws_url, "signaling_http": lab.endpoints.http_url}
    credentials = {"room": lab.room.room_id, "token": lab.room.token}

    def notebook_cell():
        async def in_its_own_loop():  # as a notebook's kernel has one
            (worker,) = sleaprtc.workers(**credentials, **addresses)
            return worker, sleaprtc.train(
                labels,
                **credentials,
                **addresses,
                ice_loopback=True,
                epochs=3,
                out=tmp_path / "out",
                on_event=events.append,
            )

        return asyncio.run(in_its_own_loop())

    async with lab.worker("gpu-1", ScriptedTrainer()):
        worker, completed = await trio.to_thread.run_sync(notebook_cell)
    assert worker.worker == completed.worker == "gpu-1"
    assert completed.model_dirs == (str(tmp_path / "out" / "centroid"),)
    assert events[-1] == completed


async def test_errors_are_raised_as_they_are(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("SLEAP_RTC_ROOM_ID", lab.room.room_id)
    monkeypatch.setenv("SLEAP_RTC_TOKEN", lab.room.token)
    monkeypatch.setenv("SLEAP_RTC_SIGNALING_WS", lab.endpoints.ws_url)
    monkeypatch.setenv("SLEAP_RTC_SIGNALING_HTTP", lab.endpoints.http_url)
    labels = make_labels(tmp_path / "a.pkg.slp")

    def train():
        with pytest.raises(NoWorkerError):
            sleaprtc.train(labels, out=tmp_path / "out")

    await trio.to_thread.run_sync(train)


async def test_a_worker_is_waited_for_and_a_training_begun_again(lab, tmp_path):
    passing = TrainerError("The GPU fell off the bus.", recoverable=True)
    trainer, events = ScriptedTrainer(failure=passing), []
    labels = make_labels(tmp_path / "a.pkg.slp")

    def note(event):
        events.append(event)
        if isinstance(event, Retrying):
            trainer.failure = None

    def train():
        return sleaprtc.train(
            labels,
            room=lab.room.room_id,
            token=lab.room.token,
            signaling_ws=lab.endpoints.ws_url,
            signaling_http=lab.endpoints.http_url,
            ice_loopback=True,
            out=tmp_path / "out",
            wait=True,
            retries=1,
            on_event=note,
        )

    async with trio.open_nursery() as nursery:

        async def come_late():
            await until(lambda: any(isinstance(event, Waiting) for event in events))
            async with lab.worker("gpu-1", trainer):
                await trio.sleep_forever()

        nursery.start_soon(come_late)
        completed = await trio.to_thread.run_sync(train)
        nursery.cancel_scope.cancel()
    assert completed.worker == "gpu-1"
    assert len(trainer.jobs) == 2


WRONG_VALUES = [
    ({"epochs": "ten"}, "epochs must be a whole number from 1 to 100000, not 'ten'."),
    ({"epochs": 2.5}, "epochs must be a whole number"),
    ({"batch_size": 0}, "batch_size must be a whole number from 1 to 4096, not 0."),
    ({"learning_rate": "low"}, "learning_rate must be a number above 0, not 'low'."),
    ({"model_type": "pony"}, "model_type must be one of base, centroid, topdown, bottomup, not 'pony'."),
    ({"retries": "often"}, "retries must be a whole number from 0 to 100, not 'often'."),
    ({"wait": "long"}, "wait must be a number of 0 or more, not 'long'."),
    ({"configs": 5}, "configs must be a path, not 5."),
    ({"configs": "nothing.yaml"}, "nothing.yaml can't be read: No such file or directory."),
]


@pytest.mark.parametrize(("wrong", "sentence"), WRONG_VALUES)
def test_a_wrong_value_is_one_sentence_and_no_way_through_our_code(tmp_path, wrong, sentence):
    with pytest.raises(UsageError) as caught:
        sleaprtc.train(make_labels(tmp_path / "a.pkg.slp"), room="r", token="t", out=tmp_path, **wrong)
    assert str(caught.value).startswith(sentence)
    shown = "".join(traceback.format_exception(caught.value))
    assert len(shown.splitlines()) < 15
    assert caught.value._render_traceback_() == [f"{type(caught.value).__name__}: {caught.value}"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"frames": 7}, "frames must be a text such as '0-99,120', not 7."),
        ({"peak_threshold": 2}, "peak_threshold must be a number from 0 to 1, not 2."),
        ({"models": []}, "There is no model to predict with: name a model folder."),
        ({"models": [3]}, "models must be a path, not 3."),
        ({"out": "x" * 300 + ".slp"}, "The predictions can't be written to xxx"),
    ],
)
def test_a_wrong_value_of_a_prediction_is_one_sentence(tmp_path, wrong, sentence):
    values = {"models": make_model(tmp_path / "centroid"), "room": "r", "token": "t", **wrong}
    with pytest.raises(UsageError) as caught:
        sleaprtc.track(make_video(tmp_path / "a.mp4"), **values)
    assert str(caught.value).startswith(sentence)


def test_numbers_of_numpy_are_numbers():
    settings = TrainingSettings(epochs=np.int64(5), learning_rate=np.float32(0.5))
    assert settings.as_json() == {"epochs": 5, "learning_rate": 0.5}
    assert type(settings.epochs) is int


def test_a_room_is_needed(monkeypatch, tmp_path):
    monkeypatch.delenv("SLEAP_RTC_ROOM_ID", raising=False)
    monkeypatch.delenv("SLEAP_RTC_TOKEN", raising=False)
    with pytest.raises(UsageError, match="Which room"):
        sleaprtc.train(make_labels(tmp_path / "a.pkg.slp"), out=tmp_path / "out")


async def test_track(lab, tmp_path):
    model, video = make_model(tmp_path / "centroid"), make_video(tmp_path / "flies.mp4")
    trainer = ScriptedTrainer(job_types=("training", "inference"))

    def script():
        return sleaprtc.track(
            str(video),
            model,
            out=tmp_path / "predictions.slp",
            tracking=True,
            room=lab.room.room_id,
            token=lab.room.token,
            signaling_ws=lab.endpoints.ws_url,
            signaling_http=lab.endpoints.http_url,
            ice_loopback=True,
        )

    async with lab.worker("gpu-1", trainer):
        completed = await trio.to_thread.run_sync(script)
    assert completed.predictions == str(tmp_path / "predictions.slp")
    assert trainer.jobs[0].requested == {"tracking": True}
