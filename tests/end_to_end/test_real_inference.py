"""A top-down job trained for real, and then used on frames that it hasn't seen, all by separate processes.

It runs with the Python that ``SLEAP_RTC_TRAINER_PYTHON`` names, else with this one, and is skipped where that
has no sleap-nn. The measured error, rate and durations are printed; ``-s`` shows them.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sleaprtc.demo.evaluation
import sleaprtc.demo.flies
from sleaprtc.transfer.model_archive import pack_model

from ..support.programs import client, environment, running_worker
from ..support.real_training import PYTHON

MAX_ERROR_PX = 4.0
"""Of a fly of 27 pixels; 1.5 to 2 is what comes out."""

MIN_FOUND = 0.85

pytestmark = [pytest.mark.train]

MEASURE = """
import json, sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import evaluation, numpy, sleap_io
truth = evaluation.points_by_frame(sleap_io.load_slp(sys.argv[2]))
labels = sleap_io.load_slp(sys.argv[3])
predicted = evaluation.points_by_frame(labels)
found = evaluation.node_distances(truth, predicted)
video = labels.video
print(json.dumps({
    "error_px": float(numpy.mean(found)) if found else 1e9,
    "found": len(found) / sum(numpy.isfinite(points[..., 0]).sum() for points in truth.values()),
    "frames": len(labels),
    "video": str(video.filename),
    "image_shape": list(video[0].shape),
    "tracks": len(labels.tracks),
}))
"""

RENDER = """
import sys
import imageio, numpy, sleap_io
video = sleap_io.load_slp(sys.argv[1]).video
with imageio.get_writer(sys.argv[2], fps=25, macro_block_size=None, quality=9) as writer:
    for number in range(len(video)):
        writer.append_data(numpy.repeat(video[number], 3, axis=-1))
"""

POINT_TO_VIDEO = """
import sys
import sleap_io
embedded = sleap_io.load_slp(sys.argv[1])
video = sleap_io.Video.from_filename(sys.argv[2], grayscale=True)
frames = [
    sleap_io.LabeledFrame(video=video, frame_idx=frame.frame_idx, instances=frame.instances)
    for frame in embedded
]
sleap_io.Labels(frames, videos=[video], skeletons=embedded.skeletons).save(sys.argv[3], embed=False)
"""


def run_with_sleap(code, *arguments):
    command = [PYTHON, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def trainer_python():
    code = "import importlib.metadata as m; m.version('sleap-nn'); m.version('sleap-io')"
    if subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip(f"{PYTHON} has no sleap-nn")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Packages of two flies: frames to train on, and frames that are unseen."""
    folder = tmp_path_factory.mktemp("flies")
    options = ["--flies", "2", "--frames", "60", "--held-out", "24"]
    made = subprocess.run(
        [PYTHON, sleaprtc.demo.flies.__file__, folder, *options], capture_output=True, check=True, timeout=120
    )
    return {kind: Path(path) for kind, path in json.loads(made.stdout).items()}


@pytest.fixture(scope="module")
def video(recording):
    """The unseen frames as a video."""
    path = recording["held_out"].with_name("unseen.mp4")
    run_with_sleap(RENDER, recording["held_out"], path)
    return path


@pytest.fixture(scope="module")
def room(server_process):
    return json.loads(client(server_process, "room", "create", "--json").stdout)


@pytest.fixture(scope="module")
def worker(server_process, room, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("gpu-1")
    options = ["--name", "gpu-1", "--trainer-python", str(PYTHON)]
    with running_worker(server_process, work_dir, *options, room=room):
        yield


def run_client(server, room, *arguments, timeout_sec=500, **more):
    """Runs a command to its end; returns the seconds that it took, and its events."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "sleaprtc.client", *map(str, arguments), "--json"],
        env=environment(server, room, **more),
        capture_output=True,
        text=True,
        timeout=timeout_sec,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.stderr, events[-1:])
    return time.monotonic() - started, events


@pytest.fixture(scope="module")
def models(server_process, room, worker, recording, tmp_path_factory):
    """Centroid and centered instance, trained on the worker."""
    out = tmp_path_factory.mktemp("models")
    seconds, events = run_client(
        *(server_process, room, "train", recording["training"]),
        *("--model-type", "topdown", "--epochs", 16, "--out", out),
    )
    print(f"\ntrained in {seconds:.0f} s: {events[-1]['final_loss']:.3g}")
    assert {Path(path).name for path in events[-1]["model_dirs"]} == {"centroid", "centered_instance"}
    return out


def measure(recording, completed):
    predictions = completed["predictions"]
    return json.loads(
        run_with_sleap(MEASURE, sleaprtc.demo.evaluation.__file__, recording["held_out"], predictions)
    )


def track(server, room, source, models, out, *options, **more):
    seconds, events = run_client(
        server, room, "track", source, "--model", models, "--out", out, *options, **more
    )
    completed = events[-1]
    assert completed["event"] == "completed"
    return seconds, events, completed


def tell(what, seconds, completed, measured):
    rate = completed["frame_count"] / completed["inference_duration_seconds"]
    print(
        f"\n{what}: {measured['error_px']:.2f} px over {measured['found']:.0%} of the nodes, "
        f"{completed['frame_count']} frames at {rate:.1f} frames/s, {seconds:.1f} s in all"
    )


def sent(events, suffix):
    transfers = [e for e in events if e["event"] == "transfer" and e["name"].endswith(suffix)]
    return sum(e["received_bytes"] - e["offset_bytes"] for e in transfers if e["direction"] == "send")


def assert_good(measured):
    assert measured["error_px"] < MAX_ERROR_PX
    assert measured["found"] > MIN_FOUND


def test_unseen_frames_of_a_package(server_process, room, worker, recording, models, tmp_path):
    out = tmp_path / "predictions.slp"
    seconds, events, completed = track(server_process, room, recording["held_out"], models, out)
    measured = measure(recording, completed)
    tell("package", seconds, completed, measured)
    assert_good(measured)
    assert measured["frames"] == completed["frame_count"] == 24
    assert measured["video"] == str(recording["held_out"])
    assert measured["image_shape"] == [160, 160, 1]
    assert sent(events, ".model.zip") == 0, "a model that was trained there came from there"
    frames = [e for e in events if e["event"] == "status" and e["frames_done"] is not None]
    assert frames[-1]["frames_done"] == frames[-1]["total_frames"] == 24
    assert frames[-1]["frames_per_sec"] > 0


def test_unseen_frames_of_a_video(server_process, room, worker, recording, models, video, tmp_path):
    out = tmp_path / "predictions.slp"
    seconds, _, completed = track(server_process, room, video, models, out, "--tracking", "--batch-size", 8)
    measured = measure(recording, completed)
    tell("video", seconds, completed, measured)
    assert_good(measured)
    assert measured["frames"] == 24
    assert measured["video"] == str(video)
    assert measured["tracks"] >= 2


def test_some_frames_of_a_video(server_process, room, worker, recording, models, video, tmp_path):
    out = tmp_path / "predictions.slp"
    _, _, completed = track(server_process, room, video, models, out, "--frames", "2-5,20")
    assert completed["frame_count"] == measure(recording, completed)["frames"] == 5


def test_labels_that_point_to_a_video(server_process, room, worker, recording, models, video, tmp_path):
    """They are packed for the way, and the predictions are about the video."""
    labels = tmp_path / "labels.slp"
    run_with_sleap(POINT_TO_VIDEO, recording["held_out"], video, labels)
    out = tmp_path / "predictions.slp"
    where = {"SLEAP_RTC_TRAINER_PYTHON": str(PYTHON)}
    seconds, events, completed = track(server_process, room, labels, models, out, **where)
    measured = measure(recording, completed)
    tell("labels that point to a video", seconds, completed, measured)
    assert any("packing" in event["message"] for event in events if event["event"] == "notice")
    assert_good(measured)
    assert measured["video"] == str(video)


def test_the_models_are_the_same_bytes_wherever_they_are_packed(models, tmp_path):
    pack_model(models / "centroid", tmp_path / "here.zip")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
        "from sleaprtc.transfer.model_archive import pack_model;"
        "pack_model(Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    root = Path(sleaprtc.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-c", code, root, models / "centroid", tmp_path / "there.zip"], check=True
    )
    assert (tmp_path / "here.zip").read_bytes() == (tmp_path / "there.zip").read_bytes()
