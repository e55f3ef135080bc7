"""Predictions that came back, before they take their place."""

import errno
import json
import os
from pathlib import Path

import h5py
import pytest

from sleaprtc.client.results.video_places import place_videos, prepare_predictions
from sleaprtc.errors import BrokenResultError, StorageError

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
