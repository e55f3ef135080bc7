"""What the client finds in a dataset before it sends it."""

import os
import zipfile

import h5py
import pytest

from sleaprtc.client.inputs.dataset import read_config
from sleaprtc.client.inputs.model_descriptions import model_type_of_configs
from sleaprtc.client.inputs.packing import read_with_images
from sleaprtc.client.inputs.scratch import Scratch
from sleaprtc.errors import InvalidDatasetError, InvalidTrainingConfigError

from ..support.datasets import read_dataset
from ..support.lab import make_labels, make_package


def test_labels(tmp_path):
    dataset = read_dataset(make_labels(tmp_path / "fly.pkg.slp", frames=7))
    assert dataset.info.format == "slp"
    assert dataset.info.frame_count == 7
    assert dataset.info.skeleton_type == "fly"
    assert dataset.info.estimated_size_mb > 0


@pytest.mark.parametrize(
    ("heads", "model_type"),
    [
        (["centroid", "centered_instance"], "topdown"),
        (["single_instance"], "base"),
        (["centroid"], "centroid"),
        (["bottomup"], "bottomup"),
    ],
)
def test_a_training_job_package(tmp_path, heads, model_type):
    labels = make_labels(tmp_path / "fly.pkg.slp")
    dataset = read_dataset(make_package(tmp_path / "job.zip", labels, heads))
    assert (dataset.info.format, dataset.info.frame_count) == ("zip", 5)
    assert model_type_of_configs([model.document for model in dataset.trains]) == model_type


def test_a_missing_file(tmp_path):
    with pytest.raises(InvalidDatasetError, match="no file"):
        read_dataset(tmp_path / "nothing.slp")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_labels_file(tmp_path, content):
    path = tmp_path / "broken.slp"
    path.write_bytes(content)
    with pytest.raises(InvalidDatasetError, match=r"broken\.slp can't be read as SLEAP labels"):
        read_dataset(path)


def _analysis(path):
    with h5py.File(path, "w") as file:
        file["tracks"] = [1.0]


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("a.slp", lambda path: path.write_bytes(b"no HDF5"), "it isn't a SLEAP labels file"),
        ("a.slp", _analysis, "it isn't a SLEAP labels file"),
        ("a.slp", lambda path: os.truncate(path, 5000), "it was cut off: copy or export it again"),
        ("a.slp", lambda path: os.truncate(path, 20), "it is damaged: copy or export it again"),
        ("a.zip", lambda path: path.write_bytes(b"no zip"), "it is another kind of file"),
        ("a.zip", lambda path: os.truncate(path, 500), "it was cut off: copy or export it again"),
    ],
)
def test_why_a_file_can_not_be_read_is_said_in_plain_words(tmp_path, name, spoil, reason):
    path = make_labels(tmp_path / "a.slp")
    if name == "a.zip":
        path = make_package(tmp_path / name, path, ["centroid"])
    spoil(path)
    with pytest.raises(InvalidDatasetError) as caught:
        read_dataset(path)
    what = "a zip file" if name == "a.zip" else "SLEAP labels"
    assert str(caught.value) == f"{name} can't be read as {what} ({reason})."


def test_no_frames(tmp_path):
    with pytest.raises(InvalidDatasetError, match="no labelled frames"):
        read_dataset(make_labels(tmp_path / "empty.slp", frames=0))


def test_videos_that_are_elsewhere(tmp_path):
    with pytest.raises(InvalidDatasetError, match="embed"):
        read_dataset(make_labels(tmp_path / "fly.slp", embedded=False))


@pytest.mark.parametrize("member", ["notes.txt", "centroid.yaml"])
def test_a_zip_file_without_labels(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as package:
        package.writestr(member, "a: 1")
    with pytest.raises(InvalidDatasetError, match="no labels"):
        read_dataset(tmp_path / "job.zip")


def test_a_zip_file_that_is_none(tmp_path):
    (tmp_path / "job.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InvalidDatasetError, match="zip"):
        read_dataset(tmp_path / "job.zip")


def test_a_config(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("model_config:\n  head_configs:\n    bottomup: {a: 1}\n    centroid: null\n")
    assert model_type_of_configs([read_config(path)]) == "bottomup"


@pytest.mark.parametrize("text", ["a: [", "- a", "", "a: !!python/object/apply:os.system ['true']"])
def test_what_is_no_config(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(InvalidTrainingConfigError, match=r"a\.yaml"):
        read_config(path)


async def test_a_package_is_read_as_a_client_reads_it_before_a_job(tmp_path):
    """Its labels are unpacked, which may take minutes, before a process with limits looks into them."""
    labels = make_labels(tmp_path / "fly.pkg.slp")
    package = make_package(tmp_path / "job.zip", labels, ["centroid"])
    with Scratch() as scratch:
        assert await read_with_images(package, scratch, embed="user", emit=print) == read_dataset(package)
        assert list(scratch.path.iterdir()) == []


async def test_a_package_whose_labels_have_no_images(tmp_path):
    labels = make_labels(tmp_path / "fly.pkg.slp")
    with h5py.File(labels, "r+") as file:
        del file["videos_json"]
        file["videos_json"] = [b'{"backend": {"filename": "fly.mp4"}}']
    package = make_package(tmp_path / "job.zip", labels, ["centroid"])
    with Scratch() as scratch, pytest.raises(InvalidDatasetError, match=r"^job\.zip points to videos"):
        await read_with_images(package, scratch, embed="user", emit=print)


async def test_only_labels_named_as_such_are_packed(tmp_path):
    labels = make_labels(tmp_path / "fly.slp", embedded=False).rename(tmp_path / "fly.h5")
    with Scratch() as scratch, pytest.raises(InvalidDatasetError, match="points to videos on this machine"):
        await read_with_images(labels, scratch, embed="user", emit=print)
