"""Predictions that came back, before they take their place."""

import errno
import json
import os
import sys
from pathlib import Path

import h5py
import pytest

from sleaprtc.client.results.delivery import JobOutcome
from sleaprtc.client.results.predictions import PredictionsFile, format_of
from sleaprtc.client.results.video_places import place_videos, prepare_predictions
from sleaprtc.errors import EXIT_USAGE, BrokenResultError, StorageError, UsageError

from ..support.lab import make_labels


def videos_of(path):
    with h5py.File(path) as file:
        return [json.loads(text) for text in file["videos_json"][:]]


def with_videos(path, *videos):
    make_labels(path)
    with h5py.File(path, "r+") as file:
        del file["videos_json"]
        file["videos_json"] = [json.dumps(video) for video in videos]
    return path


def test_a_long_path_fits_wherever_a_short_one_was(tmp_path):
    """Some writers give strings a fixed length."""
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    predictions = make_labels(tmp_path / "p.slp", video="a.mp4")
    assert prepare_predictions(predictions, folder / "a.mp4") is None
    assert videos_of(predictions)[0]["backend"]["filename"] == str(folder / "a.mp4")
    with h5py.File(predictions) as file:
        assert len(file["frames"]) == 5


def test_a_disk_that_fills_up_spoils_no_predictions(tmp_path, monkeypatch):
    predictions = make_labels(tmp_path / "p.slp", video="a.mp4")
    before = predictions.read_bytes()

    def fill(source, target):
        target.write_bytes(before[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sleaprtc.client.results.video_places.shutil.copyfile", fill)
    with pytest.raises(StorageError, match=f"No space left.* kept as {predictions}"):
        prepare_predictions(predictions, tmp_path / "a.mp4")
    assert predictions.read_bytes() == before
    assert list(tmp_path.iterdir()) == [predictions]


def test_videos_are_told_apart_by_their_order(tmp_path):
    originals = [{"backend": {"filename": name, "type": "MediaVideo"}} for name in ("a.mp4", "/far/b.mp4")]
    labels = with_videos(tmp_path / "labels.slp", *originals)
    packed = [{"backend": {"filename": "labels.pkg.slp", "dataset": f"video{n}/video"}} for n in range(2)]
    placed = place_videos(packed, labels)
    assert [video["backend"] for video in placed] == [
        {"filename": str(tmp_path / "a.mp4"), "type": "MediaVideo"},
        {"filename": "/far/b.mp4", "type": "MediaVideo"},
    ]


@pytest.mark.parametrize("name", ["C:\\videos\\a.mp4", "https://example.org/a.mp4"])
def test_places_elsewhere_are_left_alone(tmp_path, name):
    labels = with_videos(tmp_path / "labels.slp", {"backend": {"filename": name}})
    (placed,) = place_videos([{"backend": {"filename": "x"}}], labels)
    assert placed["filename"] == name


@pytest.mark.parametrize("name", ["/far/a.mp4", "videos/a.mp4", "C:\\videos\\a.mp4"])
def test_a_video_that_moved_with_its_labels_is_found(tmp_path, name):
    labels = with_videos(tmp_path / "labels.slp", {"backend": {"filename": name}})
    (tmp_path / "a.mp4").touch()
    (placed,) = place_videos([{"backend": {"filename": "x"}}], labels)
    assert placed["filename"] == str(tmp_path / "a.mp4")


def test_a_file_that_two_videos_could_be_is_not_where_either_is(tmp_path):
    days = [f"C:\\rec\\{day}\\cam.mp4" for day in ("day1", "day2")]
    labels = with_videos(tmp_path / "labels.slp", *[{"backend": {"filename": name}} for name in days])
    (tmp_path / "cam.mp4").touch()
    placed = place_videos([{"backend": {"filename": "x"}}] * 2, labels)
    assert [video["filename"] for video in placed] == days


@pytest.mark.parametrize("beside_images", [False, True])
def test_predictions_on_a_package_say_which_video_its_images_are_from(tmp_path, beside_images):
    """SLEAP recognizes the video in the project by it, where the predictions are merged."""
    source = {"filename": "session.mp4", "backend": {"filename": "session.mp4", "type": "MediaVideo"}}
    embedded = {"filename": ".", "backend": {"filename": ".", "dataset": "video0/video"}}
    package = tmp_path / "a.pkg.slp"
    with_videos(package, embedded if beside_images else {**embedded, "source_video": source})
    if beside_images:
        with h5py.File(package, "r+") as file:
            file.create_group("video0/source_video").attrs["json"] = json.dumps(source)
    (tmp_path / "session.mp4").touch()
    (placed,) = place_videos([{"filename": "x", "backend": {"filename": "x", "dataset": "d"}}], package)
    assert placed["backend"] == {"filename": str(package), "dataset": "d"}
    at_home = str(tmp_path / "session.mp4")
    assert placed["source_video"] == {
        "filename": at_home,
        "backend": {"filename": at_home, "type": "MediaVideo"},
    }


def test_a_list_of_images_is_where_it_is_found(tmp_path):
    images = [f"C:\\rec\\im{number}.png" for number in range(2)]
    described = {"filename": images, "backend": {"filename": images[0], "filenames": images}}
    labels = with_videos(tmp_path / "labels.slp", described)
    here = [str(tmp_path / f"im{number}.png") for number in range(2)]
    for image in here:
        Path(image).touch()
    (placed,) = place_videos([{"backend": {"filename": "x"}}], labels)
    assert placed == {"filename": here, "backend": {"filename": here[0], "filenames": here}}


def test_other_videos_than_ours_are_said_to_be(tmp_path):
    predictions = with_videos(tmp_path / "p.slp", *[{"backend": {"filename": "a"}}] * 2)
    assert "where the videos" in prepare_predictions(predictions, tmp_path / "a.mp4")
    assert len(videos_of(predictions)) == 2


@pytest.mark.parametrize("content", [None, b"", b"other"])
def test_a_recording_that_moved_or_changed_is_no_fault_of_the_predictions(tmp_path, content):
    predictions = with_videos(tmp_path / "p.slp", {"backend": {"filename": "a"}})
    recording = tmp_path / "rec.pkg.slp"
    if content is not None:
        recording.write_bytes(content)
    assert "where the videos of rec.pkg.slp" in prepare_predictions(predictions, recording)
    assert videos_of(predictions) == [{"backend": {"filename": "a"}}]


def test_a_file_that_reads_others_is_refused(tmp_path):
    predictions = make_labels(tmp_path / "p.slp")
    with h5py.File(predictions, "r+") as file:
        file["more"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(BrokenResultError, match="links to another file"):
        prepare_predictions(predictions, tmp_path / "a.mp4")


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"])
def test_what_cannot_be_read_is_refused(tmp_path, content):
    (tmp_path / "p.slp").write_bytes(content)
    with pytest.raises(BrokenResultError, match="can't be read as predictions"):
        prepare_predictions(tmp_path / "p.slp", tmp_path / "a.mp4")


def test_what_lacks_its_parts_is_refused(tmp_path):
    with h5py.File(tmp_path / "p.slp", "w") as file:
        file["frames"] = [1]
    with pytest.raises(BrokenResultError, match="can't be read as predictions"):
        prepare_predictions(tmp_path / "p.slp", tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.slp", "slp"),
        ("a.pkg.SLP", "slp"),
        ("a.b.csv", "csv"),
        ("a.analysis.h5", "analysis.h5"),
        ("A.NWB", "nwb"),
    ],
)
def test_the_end_of_a_name_is_a_format(name, kind):
    assert format_of(Path(name)) == kind


@pytest.mark.parametrize("name", ["a", "a.txt", "a.h5", "a.slp.gz", ".csv"])
def test_an_end_that_is_no_format_is_refused_with_those_there_are(name):
    with pytest.raises(UsageError, match=r"\.slp, \.csv, \.analysis\.h5, \.nwb\.$") as caught:
        format_of(Path(name))
    assert caught.value.exit_status == EXIT_USAGE


async def laid_down(out, received, recording="a.mp4", **changes):
    events = []
    destination = PredictionsFile(out, Path(recording), **changes)
    completed = await destination.lay_down("job", "gpu-1", JobOutcome((received,), None), events.append)
    return completed.predictions, [event.message for event in events]


@pytest.fixture
def without_sleap_io(monkeypatch):
    monkeypatch.setattr("sleaprtc.formats.with_sleap_io.find_spec", lambda _: None)
    monkeypatch.delenv("SLEAP_RTC_TRAINER_PYTHON", raising=False)


def a_python(folder, monkeypatch, body):
    """A Python for converting; its script has the arguments of the real one."""
    python = folder / "python"
    python.write_text(f"#!{sys.executable}\nimport json, pathlib, sys\n{body}\n")
    python.chmod(0o755)
    monkeypatch.setenv("SLEAP_RTC_TRAINER_PYTHON", str(python))


@pytest.mark.usefixtures("without_sleap_io")
async def test_a_worker_that_writes_the_format(tmp_path):
    received = tmp_path / "v.predictions.csv"
    received.write_text("track,frame_idx\n")
    (tmp_path / "out.csv").touch()
    assert await laid_down(tmp_path / "out.csv", received) == (str(tmp_path / "out-1.csv"), [])
    assert (tmp_path / "out-1.csv").read_text() == "track,frame_idx\n"


@pytest.mark.usefixtures("without_sleap_io")
async def test_a_worker_that_does_not_write_the_format_gives_slp_and_that_is_said(tmp_path):
    received = make_labels(tmp_path / "v.predictions.slp", video="a.mp4")
    written, (said,) = await laid_down(tmp_path / "out.analysis.h5", received)
    assert written == str(tmp_path / "out.slp")
    assert "written as .slp, not as .analysis.h5" in said
    assert "pip install sleap-io" in said


@pytest.mark.usefixtures("without_sleap_io")
async def test_predictions_are_converted_here_where_sleap_io_is(tmp_path, monkeypatch):
    received = make_labels(tmp_path / "v.predictions.slp", video="a.mp4")
    body = "pathlib.Path(sys.argv[3]).write_text(' '.join(sys.argv[4:])); print(json.dumps({}))"
    a_python(tmp_path, monkeypatch, body)
    assert await laid_down(tmp_path / "out.analysis.h5", received) == (str(tmp_path / "out.analysis.h5"), [])
    assert (tmp_path / "out.analysis.h5").read_text() == "analysis.h5"
    assert not received.exists()


@pytest.mark.usefixtures("without_sleap_io")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("print(json.dumps({'error': 'the model found no animal'}))", "the model found no animal"),
        ("sys.exit(3)", "can't convert them, and ended with 3"),
    ],
)
async def test_predictions_that_can_not_be_converted_are_kept_as_they_are(
    tmp_path, monkeypatch, body, reason
):
    received = make_labels(tmp_path / "v.predictions.slp", video="a.mp4")
    a_python(tmp_path, monkeypatch, body)
    written, (said,) = await laid_down(tmp_path / "out.nwb", received)
    assert (written, reason in said) == (str(tmp_path / "out.slp"), True)


@pytest.mark.usefixtures("without_sleap_io")
@pytest.mark.parametrize(("name", "content"), [("p.csv", b""), ("p.nwb", b"no"), ("p.analysis.h5", b"")])
async def test_a_file_of_another_format_that_can_not_be_read_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokenResultError, match=f"{name} .*kept as"):
        await laid_down(tmp_path / f"out.{name.partition('.')[2]}", tmp_path / name)
