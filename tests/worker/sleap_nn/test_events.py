"""What a runner reports: read as values, whatever it writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.worker.sleap_nn.process.events import (
    Converted,
    DeviceFound,
    EpochReported,
    Installed,
    ModelTrained,
    PredictionDone,
    RunnerFailed,
    TrainingDone,
    read_event,
)
from sleaprtc.worker.trainer import FramesPredicted, StageStarted

EPOCH = {
    "event": "epoch",
    "model": "centroid",
    "epoch": 3,
    "total_epochs": 9,
    "train_loss": None,
    "val_loss": 0.25,
    "device": "cpu",
    "elapsed_sec": 2,
}
MODEL = {"head": "centroid", "best_loss": 0.5, "epochs": 3, "device": "cpu"}
EVENTS = [
    ({"event": "installed", "versions": {"torch": "2.0"}, "python": "3.11"}, Installed({"torch": "2.0"})),
    ({"event": "device", "device": "cuda", "torch_cuda": None}, DeviceFound("cuda", None)),
    ({"event": "converted", "configs": [{"a": 1}]}, Converted(({"a": 1},))),
    ({"event": "stage", "stage": "new", "message": "M"}, StageStarted("new", "M")),
    (EPOCH, EpochReported("centroid", 3, 9, None, 0.25, "cpu", 2)),
    (
        {"event": "frames", "frames_done": 1, "total_frames": 5, "frames_per_sec": 0.5, "device": "mps"},
        FramesPredicted(1, 5, 0.5, "mps"),
    ),
    (
        {"event": "done", "models": [MODEL], "duration_sec": 2.5},
        TrainingDone((ModelTrained("centroid", 0.5, 3, "cpu"),), 2.5),
    ),
    (
        {"event": "done", "frame_count": 5, "duration_sec": 2.5, "device": "cpu"},
        PredictionDone(5, 2.5, "cpu"),
    ),
    ({"event": "failed", "code": "KILLED", "message": "No."}, RunnerFailed("KILLED", "No.")),
    ({"event": "failed"}, RunnerFailed("TRAINING_FAILED", "Training failed.")),
]


@pytest.mark.parametrize(("said", "event"), EVENTS)
def test_an_event_is_read(said, event):
    assert read_event(said) == event


@pytest.mark.parametrize("name", [name for name in EPOCH if not name.endswith("_loss")])
def test_an_event_that_lacks_something_is_none(name):
    assert read_event({key: value for key, value in EPOCH.items() if key != name}) is None
    assert read_event({**EPOCH, name: [7]}) is None


@pytest.mark.parametrize("said", [{}, {"event": None}, {"event": ["done"]}, {"event": "done", "models": [7]}])
def test_what_is_no_event(said):
    assert read_event({"duration_sec": 1, **said}) is None


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.none())


@given(
    st.sampled_from([said for said, _ in EVENTS]),
    st.dictionaries(st.sampled_from([*EPOCH, *MODEL, "models", "configs", "versions", "stage"]), anything),
)
def test_whatever_it_writes_is_an_event_or_none(said, changed):
    read_event({**said, **changed})
