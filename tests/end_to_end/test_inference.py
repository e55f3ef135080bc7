"""The whole way of an inference over a real server and real data channels; only predicting is scripted."""

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import trio

from sleaprtc.client.events.job import Completed, Notice, StatusChanged, Transferred, WorkersFound
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.inquiries.ask import open_asker
from sleaprtc.client.jobs.order.persistence import Persistence, Until
from sleaprtc.client.jobs.submission.retry import carry_out
from sleaprtc.client.jobs.track import tracking_order
from sleaprtc.client.records.files import load_all
from sleaprtc.errors import (
    BrokenResultError,
    InvalidDatasetError,
    InvalidModelError,
    JobFailedError,
    NoWorkerError,
    TrainerError,
    UsageError,
)
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.jobs import JobRequest
from sleaprtc.protocol.messages import PeerMessage
from sleaprtc.worker.jobs.cache import FileCache
from sleaprtc.worker.sleap_nn.intake.model_files import read_models

from ..everyday.json_tables import check
from ..support import prepared
from ..support.lab import LOOPBACK, ScriptedTrainer, make_labels, make_model, make_video
from ..support.waiting import until

BOTH = ("training", "inference")


def predicting(**how):
    return ScriptedTrainer(job_types=BOTH, **how)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "centroid")


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "flies.mp4")


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def sent_bytes(events, suffix):
    """How many bytes of such files went over the channel."""
    last = {e.name: e for e in of(Transferred, events) if e.direction == "send" and e.name.endswith(suffix)}
    return sum(event.received_bytes - event.offset_bytes for event in last.values())


def videos_of(path):
    with h5py.File(path) as file:
        return [json.loads(text) for text in file["videos_json"][:]]


async def test_predictions_come_back(lab, video, model, tmp_path):
    trainer, events = predicting(judge=lambda job: read_models(job.models, job.work_dir)), []
    settings = {"peak_threshold": 0.3, "frames": "0-3"}
    async with lab.worker("gpu-1", trainer) as agent:
        completed = await lab.track(video, model, emit=events.append, settings=settings)
        await until(lambda: not list(agent.jobs_dir.iterdir()))
    assert completed.predictions == str(tmp_path / "predictions.slp")
    assert (completed.job_type, completed.frame_count, completed.inference_duration_seconds) == (
        "inference",
        4,
        0.2,
    )
    assert isinstance(events[-1], Completed)
    (job,) = trainer.jobs
    assert job.requested == settings
    assert job.dataset.name == "flies.mp4"
    frames = [(e.frames_done, e.total_frames) for e in of(StatusChanged, events) if e.frames_done]
    assert list(dict.fromkeys(frames)) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {e.frames_per_sec for e in of(StatusChanged, events) if e.frames_done} == {20.0}
    (record,) = load_all()
    assert (record.job_type, record.state, record.out_file) == ("inference", "completed", "predictions.slp")


async def test_the_predictions_point_to_the_clients_own_video(lab, video, model, tmp_path):
    labels = make_labels(tmp_path / "labels.pkg.slp")
    async with lab.worker("gpu-1", predicting()):
        of_video = await lab.track(video, model)
        of_labels = await lab.track(labels, model, out=tmp_path / "other.slp")
    for completed, place in ((of_video, video), (of_labels, labels)):
        (found,) = videos_of(completed.predictions)
        assert found["backend"]["filename"] == found["filename"] == str(place)
        assert found["backend"]["dataset"] == "video0/video"


async def test_an_earlier_file_is_kept_unless_it_may_be_replaced(lab, video, model, tmp_path):
    async with lab.worker("gpu-1", predicting()):
        names = [(await lab.track(video, model)).predictions for _ in range(3)]
        first = (tmp_path / "predictions.slp").stat().st_ino
        replaced = await lab.track(video, model, replace=True)
    assert [name.rpartition("/")[2] for name in names] == [
        "predictions.slp",
        "predictions-1.slp",
        "predictions-2.slp",
    ]
    assert replaced.predictions == names[0]
    assert (tmp_path / "predictions.slp").stat().st_ino != first


async def test_only_workers_that_predict_are_asked(lab, video, model):
    events = []
    trains_only, both = ScriptedTrainer(), predicting()
    async with lab.worker("gpu-1", trains_only):
        with pytest.raises(NoWorkerError, match="No worker in the room fits the job"):
            await lab.track(video, model)
        async with lab.worker("gpu-2", both):
            await lab.track(video, model, emit=events.append)
    assert [w.worker for w in of(WorkersFound, events)[0].workers] == ["gpu-2"]
    assert (len(trains_only.jobs), len(both.jobs)) == (0, 1)


async def test_a_worker_that_only_trains_refuses(lab):
    async with lab.worker("gpu-1", ScriptedTrainer()), lab.peer("client") as client:
        await client.send_job_message("gpu-1", JobRequest("j", "inference"))
        while not isinstance(message := await client.receive(), PeerMessage):
            pass
    answer = decode_job_message(message.payload)
    assert (answer.accepted, answer.reason) == (False, "unsupported_job_type")


# --- models ---------------------------------------------------------------------------------


async def test_a_model_is_sent_once(lab, video, model, tmp_path):
    first, second = [], []
    cache = FileCache(tmp_path / "cache", 10**9)
    async with lab.worker("gpu-1", predicting(), cache=cache):
        await lab.track(video, model, emit=first.append)
        moved = model.rename(tmp_path / "elsewhere")
        (moved / "best.ckpt").touch()
        await lab.track(video, moved, emit=second.append)
    assert sent_bytes(first, ".model.zip") > 300_000
    assert sent_bytes(second, ".model.zip") == 0
    assert sent_bytes(second, ".mp4") == 0


async def test_a_model_that_was_trained_there_is_not_sent_at_all(lab, video, tmp_path):
    events = []
    trainer = predicting()
    async with lab.worker("gpu-1", trainer, cache=FileCache(tmp_path / "cache", 10**9)):
        trained = await lab.train(make_labels(tmp_path / "labels.pkg.slp"))
        await lab.track(video, *map(tmp_path.joinpath, trained.model_dirs), emit=events.append)
    assert sent_bytes(events, ".mp4") == video.stat().st_size
    assert sent_bytes(events, ".model.zip") == 0
    assert [path.name for path in trainer.jobs[-1].models] == ["centroid-0.model.zip"]


async def test_a_checkpoint_with_more_than_weights_is_not_sent(lab, video, tmp_path):
    evil = make_model(tmp_path / "evil", imports=["os system"])
    with pytest.raises(InvalidModelError, match="more than weights"):
        await lab.track(video, evil)


async def test_a_checkpoint_with_more_than_weights_is_not_loaded(lab, video, tmp_path, monkeypatch):
    evil = make_model(tmp_path / "evil", imports=["os system"])
    monkeypatch.setattr("sleaprtc.client.inputs.models.unsafe_imports", lambda _: [])
    trainer = predicting(judge=lambda job: read_models(job.models, job.work_dir))
    async with lab.worker("gpu-1", trainer):
        with pytest.raises(JobFailedError, match=r"more than weights \(os system\)") as caught:
            await lab.track(video, evil)
    assert caught.value.error_code == "INVALID_MODEL"


@pytest.mark.parametrize(
    ("heads", "sentence"),
    [
        (("centered_instance",), "needs the centroid model"),
        (("centroid", "centroid"), "more than one model of the same kind"),
    ],
)
async def test_models_that_make_no_prediction(lab, video, tmp_path, heads, sentence):
    models = [make_model(tmp_path / str(number), head) for number, head in enumerate(heads)]
    with pytest.raises(InvalidModelError, match=sentence):
        await lab.track(video, *models)


async def test_a_training_leaves_a_folder_that_can_be_named_as_a_whole(lab, video, tmp_path):
    for head in ("centroid", "centered_instance"):
        make_model(tmp_path / "models" / head, head)
    trainer = predicting()
    async with lab.worker("gpu-1", trainer):
        await lab.track(video, tmp_path / "models")
    (job,) = trainer.jobs
    assert len(job.models) == 2
    with pytest.raises(InvalidModelError, match=r"lacks best.ckpt and training_config.yaml"):
        await lab.track(video, tmp_path)


# --- recordings -----------------------------------------------------------------------------


async def test_what_is_no_recording(lab, model, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InvalidDatasetError, match="neither labels"):
        await lab.track(tmp_path / "notes.txt", model)
    with pytest.raises(UsageError, match="isn't a range of frames"):
        await lab.track(make_video(tmp_path / "a.mp4"), model, settings={"frames": "first"})


async def test_what_is_no_video_or_checkpoint_is_refused_before_any_worker_is_asked(
    lab, video, model, tmp_path
):
    """There is no worker: whoever asked for one would end with another status."""
    playlist = tmp_path / "list.mp4"
    playlist.write_bytes(b"#EXTM3U\nfile:///etc/passwd\n")
    broken = make_model(tmp_path / "broken")
    (broken / "best.ckpt").write_bytes(b"PK\x03\x04 and no more")
    for recording, folder, sentence in (
        (playlist, model, f"{playlist} isn't a video file: it doesn't begin like one."),
        (video, broken, f"{broken / 'best.ckpt'} isn't a checkpoint of PyTorch."),
    ):
        command = ("sleaprtc.client", "track", recording, "--model", folder)
        ended = await prepared.run_async(*command, env=environment(lab, tmp_path), cwd=tmp_path)
        assert (ended.returncode, sentence in ended.stderr) == (2, True), ended.stderr


@pytest.mark.parametrize("frames", [None, "0-3"])
async def test_a_video_that_breaks_off_is_one_sentence_before_anything_is_sent(lab, model, tmp_path, frames):
    video = tmp_path / "cut.mp4"
    video.write_bytes(struct.pack(">I", 900) + b"moov" + bytes(92))
    with pytest.raises(InvalidDatasetError) as caught:
        await lab.track(video, model, settings={"frames": frames})
    assert str(caught.value) == (
        f"{video} breaks off after 100 of the 900 bytes that it states: copy or record it again."
    )


@pytest.mark.parametrize(("frames", "is_refused"), [("5-40", False), ("20-40", True), ("0-11", None)])
async def test_frames_outside_of_a_video_are_said_before_it_is_sent(lab, model, tmp_path, frames, is_refused):
    sizes = struct.pack(">I", 20) + b"stsz" + bytes(8) + struct.pack(">I", 12)
    handler = struct.pack(">I", 20) + b"hdlr" + bytes(8) + b"vide"
    movie = sizes
    for kind in (b"stbl", b"minf"):
        movie = struct.pack(">I", 8 + len(movie)) + kind + movie
    movie = handler + movie
    for kind in (b"mdia", b"trak", b"moov"):
        movie = struct.pack(">I", 8 + len(movie)) + kind + movie
    video, events = tmp_path / "v.mp4", []
    video.write_bytes(movie)
    said = "v.mp4 has 12 frames (0 to 11), and frame 40 was asked for."
    if is_refused:
        with pytest.raises(UsageError) as caught:
            await lab.track(video, model, settings={"frames": frames})
        assert str(caught.value) == said
        return
    async with lab.worker("gpu-1", predicting()):
        await lab.track(video, model, settings={"frames": frames}, emit=events.append)
    notices = [notice.message for notice in of(Notice, events) if said in notice.message]
    assert notices == ([] if is_refused is None else [f"{said} The others are predicted."])


async def test_a_file_that_is_no_format_is_known_before_anything_is_sent(lab, model, tmp_path):
    with pytest.raises(UsageError, match="must end with a format"):
        await lab.track(make_video(tmp_path / "v.mp4"), model, out=tmp_path / "p.xlsx")


async def test_frames_of_several_videos_do_not_fit_into_an_analysis_file(lab, model, tmp_path):
    labels = make_labels(tmp_path / "two.pkg.slp")
    with h5py.File(labels, "a") as file:
        frames = np.zeros(5, dtype=[("frame_id", "u8"), ("video", "u4")])
        frames["video"][2:] = 1
        del file["frames"]
        file["frames"] = frames
    with pytest.raises(UsageError, match=r"one video only, and two\.pkg\.slp has frames of 2\. Choose"):
        await lab.track(labels, model, out=tmp_path / "p.analysis.h5")
    async with lab.worker("gpu-1", predicting()):
        await lab.track(labels, model, out=tmp_path / "p.slp")


async def test_a_format_is_asked_for_only_where_it_can_not_be_written_here(lab, model, tmp_path, monkeypatch):
    monkeypatch.setattr("sleaprtc.formats.with_sleap_io.find_spec", lambda _: None)
    monkeypatch.delenv("SLEAP_RTC_TRAINER_PYTHON", raising=False)
    trainer, events = predicting(), []
    async with lab.worker("gpu-1", trainer):
        for name in ("p.csv", "p.slp"):
            tracked = await lab.track(
                make_video(tmp_path / "v.mp4"), model, out=tmp_path / name, emit=events.append
            )
            assert Path(tracked.predictions).suffix == ".slp"
    assert [job.requested.get("format") for job in trainer.jobs] == ["csv", None]
    assert sum("written as .slp, not as .csv" in notice.message for notice in of(Notice, events)) == 1


@pytest.mark.parametrize(
    ("name", "sent_as"),
    [
        ("2024-03-01T10:15:30.mp4", "2024-03-01T10_15_30.mp4"),
        ("con.mp4", "_con.mp4"),
        ("a\tb\n.mp4", "a_b_.mp4"),
        ("x" * 244 + ".mp4", "x" * 176 + ".mp4"),
    ],
)
async def test_a_name_that_is_not_plain_is_sent_as_one_and_shown_as_it_is(
    lab, model, tmp_path, monkeypatch, name, sent_as
):
    monkeypatch.chdir(tmp_path)
    shown, trainer, events = name.replace("\t", " ").replace("\n", " "), predicting(), []
    async with lab.worker("gpu-1", trainer):
        tracked = await lab.track(make_video(tmp_path / name), model, out=None, emit=events.append)
    assert {event.name for event in of(Transferred, events) if event.direction == "send"} >= {shown}
    assert [job.dataset.name for job in trainer.jobs] == [sent_as]
    said = [event.message or "" for event in of(StatusChanged, events)]
    assert not any(f"Receiving {sent_as}" in message for message in said)
    assert any(f"Receiving {shown}" in message for message in said)
    assert Path(tracked.predictions).name == f"{name.removesuffix('.mp4')[:231]}.predictions.slp"
    (video,) = videos_of(tracked.predictions)
    assert video["filename"] == str(tmp_path / name)


async def test_a_failure_names_a_file_as_the_user_does(lab, model, tmp_path):
    def judge(job):
        raise InvalidDatasetError(f"{job.dataset.name} has no frames that can be read.")

    async with lab.worker("gpu-1", predicting(judge=judge)):
        with pytest.raises(JobFailedError, match=r"^con\.mp4 has no frames"):
            await lab.track(make_video(tmp_path / "con.mp4"), model)


def a_python_with_sleap_io(folder, source, monkeypatch):
    """Something that packs, whatever it is told, as the labels that it was given for that."""
    script = folder / "python"
    script.write_text(
        f"#!{sys.executable}\nimport json, shutil, sys\n"
        f"shutil.copy({str(source)!r}, sys.argv[3])\n"
        f"print(json.dumps({{'frames': 5, 'asked': sys.argv[4]}}))\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr("sleaprtc.formats.with_sleap_io.find_spec", lambda _: None)
    monkeypatch.setenv("SLEAP_RTC_TRAINER_PYTHON", str(script))


async def test_labels_that_point_to_videos_are_packed(lab, model, tmp_path, monkeypatch):
    labels = make_labels(tmp_path / "labels.slp", embedded=False)
    a_python_with_sleap_io(tmp_path, make_labels(tmp_path / "packed", padding_bytes=1000), monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    trainer, events = predicting(), []
    async with lab.worker("gpu-1", trainer):
        tracked = await lab.track(labels, model, emit=events.append)
        await lab.train(labels, events.append)
    assert [job.dataset.name for job in trainer.jobs] == ["labels.pkg.slp", "labels.pkg.slp"]
    assert sum("packing its frames" in notice.message for notice in of(Notice, events)) == 2
    assert list((tmp_path / "temporary").iterdir()) == []
    (found,) = videos_of(tracked.predictions)
    assert found["backend"]["filename"] == "/videos/fly.mp4"
    assert {record.dataset for record in load_all()} == {str(labels)}


async def test_without_sleap_io_one_is_told_what_to_do(lab, model, tmp_path, monkeypatch):
    labels = make_labels(tmp_path / "labels.slp", embedded=False)
    monkeypatch.setattr("sleaprtc.formats.with_sleap_io.find_spec", lambda _: None)
    monkeypatch.delenv("SLEAP_RTC_TRAINER_PYTHON", raising=False)
    for work in (lab.track(labels, model), lab.train(labels)):
        with pytest.raises(InvalidDatasetError, match=r"pip install sleap-io.*Export Labels Package"):
            await work


async def test_a_settings_file_beside_labels_names_no_program_for_a_client(lab, model, tmp_path):
    """Such a file may have come with the labels."""
    labels = make_labels(tmp_path / "labels.slp", embedded=False)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'it-ran'}\n")
    program.chmod(0o755)
    (tmp_path / "sleap-rtc.toml").write_text(f'[worker]\ntrainer_python = "{program}"\n')
    script = (
        "import sleaprtc.formats.with_sleap_io as module; module.find_spec = lambda _: None;"
        "from sleaprtc.client.__main__ import main; main()"
    )
    ended = await trio.run_process(
        [sys.executable, "-c", script, "track", str(labels), "--model", str(model)],
        env=environment(lab, tmp_path),
        cwd=tmp_path,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert ended.returncode == 2
    assert (
        b"SLEAP_RTC_TRAINER_PYTHON (trainer_python in a settings file is for workers alone)" in ended.stderr
    )
    assert not (tmp_path / "it-ran").exists()


async def test_predictions_never_replace_what_they_are_about(lab, model, tmp_path):
    labels = make_labels(tmp_path / "labels.pkg.slp")
    (tmp_path / "link.slp").symlink_to(labels)
    for out in (labels, tmp_path / "link.slp"):
        with pytest.raises(UsageError, match="is what to predict on"):
            await lab.track(labels, model, out=out, replace=True)


# --- ends of all kinds ----------------------------------------------------------------------


async def test_a_failure_comes_as_its_sentence(lab, video, model, tmp_path):
    failure = TrainerError("Prediction ran out of memory.", error_code="OUT_OF_MEMORY")
    async with lab.worker("gpu-1", predicting(failure=failure)) as agent:
        with pytest.raises(JobFailedError, match="ran out of memory"):
            await lab.track(video, model)
        await until(lambda: not list(agent.jobs_dir.iterdir()))
    assert not (tmp_path / "predictions.slp").exists()


async def test_a_worker_that_is_lost_is_lost_during_prediction(lab, video, model):
    has_begun = trio.Event()

    def emit(event):
        if isinstance(event, StatusChanged) and event.frames_done:
            has_begun.set()

    async def lose_worker(*, task_status):
        async with lab.worker("gpu-1", predicting(hold=True)):
            task_status.started()
            await has_begun.wait()

    async with trio.open_nursery() as nursery:
        await nursery.start(lose_worker)
        with pytest.raises(JobFailedError, match="during prediction"):
            await lab.track(video, model, emit=emit, away_sec=0.1)


async def test_predictions_that_are_none(lab, video, model, tmp_path, monkeypatch):
    def write_nonsense(path, **_):
        path.write_bytes(b"no predictions")
        return path

    monkeypatch.setattr("tests.support.lab.make_labels", write_nonsense)
    async with lab.worker("gpu-1", predicting()):
        with pytest.raises(BrokenResultError, match=r"can't be read as predictions.* is kept as") as caught:
            await lab.track(video, model)
    assert not (tmp_path / "predictions.slp").exists()
    kept = trio.Path(str(caught.value).partition("is kept as ")[2].rstrip("."))
    assert await kept.read_bytes() == b"no predictions"


async def test_a_job_that_is_told_to_stop_keeps_what_it_has(lab, video, model):
    trainer = predicting(hold=True)
    results = []
    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:

        async def track():
            results.append(await lab.track(video, model))

        nursery.start_soon(track)
        await trainer.started.wait()
        (record,) = load_all()
        async with open_asker(record) as asker:
            await asker.stop()
    (completed,) = results
    assert trainer.stopped_early
    assert completed.frame_count == 1


async def begin(lab, recording, model, folder, **how):
    """Begins a prediction as ``--detach`` does; returns its record."""
    order = await tracking_order(recording, [model], out=folder / "predictions.slp", **how)
    await carry_out(order, lab.options, Persistence(until=Until.BEGUN), lambda _: None)
    (record,) = load_all()
    return record


async def test_a_later_process_fetches_the_predictions(lab, video, model, tmp_path):
    trainer = predicting(hold=True)
    async with lab.worker("gpu-1", trainer):
        record = await begin(lab, video, model, tmp_path)
        trainer.go_on.set()
        completed = await attach_to_job(record, connection=LOOPBACK)
    assert completed.predictions == str(tmp_path / "predictions.slp")
    (found,) = videos_of(completed.predictions)
    assert found["filename"] == str(video)


async def test_predictions_come_home_though_what_they_are_about_has_moved(lab, model, tmp_path):
    labels, trainer, events = make_labels(tmp_path / "rec.pkg.slp"), predicting(hold=True), []
    async with lab.worker("gpu-1", trainer):
        record = await begin(lab, labels, model, tmp_path)
        labels.rename(tmp_path / "moved.pkg.slp")
        trainer.go_on.set()
        completed = await attach_to_job(record, connection=LOOPBACK, emit=events.append)
    assert completed.predictions == str(tmp_path / "predictions.slp")
    assert any("where the videos of rec.pkg.slp" in notice.message for notice in of(Notice, events))
    assert list(tmp_path.glob(".incoming-*")) == []


async def test_a_later_process_replaces_what_may_be_replaced(lab, video, model, tmp_path):
    trainer = predicting(hold=True)
    (tmp_path / "predictions.slp").write_bytes(b"earlier")
    async with lab.worker("gpu-1", trainer):
        record = await begin(lab, video, model, tmp_path, replace=True)
        trainer.go_on.set()
        completed = await attach_to_job(record, connection=LOOPBACK)
    assert completed.predictions == str(tmp_path / "predictions.slp")
    assert len(videos_of(completed.predictions)) == 1


def environment(lab, tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}
    own = {
        "SLEAP_RTC_SIGNALING_WS": lab.endpoints.ws_url,
        "SLEAP_RTC_SIGNALING_HTTP": lab.endpoints.http_url,
        "SLEAP_RTC_ROOM_ID": lab.room.room_id,
        "SLEAP_RTC_TOKEN": lab.room.token,
        "SLEAP_RTC_ICE_LOOPBACK": "1",
        "SLEAP_RTC_STATE_DIR": str(tmp_path / "state"),
    }
    return {**kept, **own}


async def test_what_the_command_prints_as_json_is_documented(lab, video, model, tmp_path):
    command = ("sleaprtc.client", "track", video, "--model", model, "--json")
    async with lab.worker("gpu-1", predicting()):
        ended = await prepared.run_async(*command, env=environment(lab, tmp_path), cwd=tmp_path)
    objects = [json.loads(line) for line in ended.stdout.splitlines()]
    for printed in objects:
        check(printed)
    assert ended.stderr == ""
    assert objects[-1]["predictions"] == "flies.predictions.slp"
    assert (tmp_path / "flies.predictions.slp").is_file()
    assert [o["frames_done"] for o in objects if o["event"] == "status" and o["frames_done"]][-1] == 4


async def test_ctrl_c_ends_the_job_on_the_worker(lab, video, model, tmp_path):
    trainer = predicting(hold=True)
    command = [sys.executable, "-m", "sleaprtc.client", "track", str(video), "--model", str(model)]
    async with lab.worker("gpu-1", trainer) as agent:
        process = await trio.lowlevel.open_process(
            command,
            env=environment(lab, tmp_path),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            await trainer.started.wait()
            process.send_signal(signal.SIGINT)
            said = b"".join([block async for block in process.stderr])
            assert await process.wait() == 130
        finally:
            process.kill()
        assert said == b"Error: Cancelled.\n"
        await until(lambda: not (trainer.running or list(agent.jobs_dir.iterdir())))
    assert not list(tmp_path.glob("*.predictions.slp"))
