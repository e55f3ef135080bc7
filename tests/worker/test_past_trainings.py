"""What a worker learns from its trainings."""

import json

import pytest

from sleaprtc.jobs.estimate import PastModel
from sleaprtc.protocol.jobs import DatasetInfo, JobRequest
from sleaprtc.worker.journal.past_trainings import EpochClock, History, past_models
from sleaprtc.worker.trainer import EpochEnded
from tests.support.lab import make_labels


def clock_of(*epochs):
    clock = EpochClock()
    for model, epoch, elapsed_sec in epochs:
        clock.take(EpochEnded(model, epoch, 200, 0.1, 1.0, 1.0, "cpu", elapsed_sec))
    return clock


TOPDOWN = JobRequest(
    "job", "training", DatasetInfo(frame_count=38, frame_megapixels=0.25), {"model_type": "topdown"}
)


def test_each_model_is_timed_by_the_epochs_that_ran():
    """The first one warms up, and between the models there is an evaluation."""
    clock = clock_of(
        ("centroid", 1, 9), ("centroid", 2, 12), ("centroid", 3, 15), ("centered_instance", 1, 70)
    )
    clock.take(EpochEnded("centered_instance", 3, 200, 0.6, 1.0, 1.0, "cpu", 80))
    assert past_models(TOPDOWN, clock) == (
        PastModel("centroid", 38, 2, 6, 0.25, None, 4),
        PastModel("centered_instance", 38, 2, 10, 0.25, None, 4),
    )


def test_a_job_left_after_its_first_epoch_teaches_too():
    assert past_models(TOPDOWN, clock_of(("centroid", 1, 11))) == (
        PastModel("centroid", 38, 1, 11, 0.25, None, 4),
    )
    after_it = clock_of(("centroid", 1, 9), ("centroid", 2, 12), ("centered_instance", 1, 70))
    assert [model.model for model in past_models(TOPDOWN, after_it)] == ["centroid"]


def test_no_epoch_and_no_frame_count_teach_nothing():
    assert past_models(TOPDOWN, EpochClock()) == ()
    assert past_models(JobRequest("job", "training"), clock_of(("centroid", 1, 11))) == ()


def test_what_is_written_is_read_again(tmp_path):
    written = [PastModel("centroid", 38, 2, 6.0, 0.25, 16, 4), PastModel("bottomup", 5, 1, 2.0)]
    History(tmp_path / "history.jsonl").add(written)
    assert History(tmp_path / "history.jsonl").models == written


def test_lines_of_older_workers_are_read(tmp_path):
    path = tmp_path / "history.jsonl"
    old = {"model_type": "base", "frame_count": 64, "epochs": 20, "duration_sec": 60.0}
    two = {**old, "model_type": "topdown"}
    path.write_text(f"{json.dumps(old)}\n{json.dumps(two)}\n")
    assert History(path).models == [
        PastModel("single_instance", 64, 20, 60.0),
        PastModel("centroid", 64, 20, 30.0),
        PastModel("centered_instance", 64, 20, 30.0),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        "not JSON",
        '{"model_type": "other", "frame_count": 1, "epochs": 1, "duration_sec": 1}',
        '{"model": "centroid", "frame_count": 0, "epochs": 1, "duration_sec": 1}',
        '{"model": "centroid", "frame_count": 1, "epochs": Infinity, "duration_sec": 1}',
        '{"model": "centroid", "frame_count": 1, "epochs": 1, "duration_sec": NaN}',
        '{"model": "centroid", "frame_count": 1, "epochs": 1, "duration_sec": 1, "megapixels": -1}',
    ],
)
def test_lines_that_make_no_sense_are_passed_over(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_text(line + "\n")
    assert History(path).models == []


async def test_a_worker_learns_from_a_training(lab, tmp_path):
    labels = make_labels(tmp_path / "flies.pkg.slp", frames=100)
    async with lab.worker("gpu-1"):
        await lab.train(labels, settings={"model_type": "centroid", "epochs": 3})
    (learnt,) = History(tmp_path / "gpu-1.jsonl").models
    assert (learnt.model, learnt.frame_count, learnt.duration_sec / learnt.epochs) == ("centroid", 100, 1)
