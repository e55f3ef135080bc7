import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from sleaprtc.errors import InvalidDatasetError
from sleaprtc.worker.sleap_nn.intake.dataset import inspect_dataset
from sleaprtc.worker.sleap_nn.intake.dataset_reader import read_summary
from sleaprtc.worker.sleap_nn.intake.dataset_summary import DatasetSummary

from .slp_files import EDGE_TYPE, EMBEDDED, SYMMETRY_TYPE, write_slp


def test_a_dataset_is_summarized(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "a.pkg.slp", animals_per_frame=(1, 0, 2))
    assert read_summary(path) == DatasetSummary(
        frame_count=2,
        max_instances=2,
        node_names=("head", "tail"),
        edge_count=1,
        height=96,
        width=128,
        channels=1,
        max_instance_px=30.0,
        least_channels=1,
    )


async def test_it_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "a.pkg.slp")
    assert await inspect_dataset(path) == read_summary(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + os.urandom(5000))
    with pytest.raises(InvalidDatasetError, match=r"a\.pkg\.slp can't be read"):
        await inspect_dataset(path)


@pytest.mark.parametrize(
    ("links", "edges"),
    [
        ((), 0),
        (({"type": SYMMETRY_TYPE}, {"type": EDGE_TYPE}, {"type": {"py/id": 1}}, {"type": {"py/id": 2}}), 2),
        (({"type": EDGE_TYPE}, {"type": {"py/id": 1}}, {"type": SYMMETRY_TYPE}, {"type": {"py/id": 2}}), 2),
    ],
)
def test_symmetries_are_no_edges(tmp_path: Path, links: tuple[dict, ...], edges: int) -> None:
    assert read_summary(write_slp(tmp_path / "a.slp", links=links)).edge_count == edges


def test_raw_images_and_old_attributes_have_a_size_too(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "a.slp")
    with h5py.File(path, "a") as file:
        del file["video0/video"]
        file["video0/video"] = np.zeros((3, 40, 50, 3), dtype="u1")
    assert (read_summary(path).height, read_summary(path).width, read_summary(path).channels) == (40, 50, 3)
    with h5py.File(path, "a") as file:
        del file["video0/video"]
        file["video0/video"] = np.zeros((3, 16), dtype="i1")
    assert (read_summary(path).height, read_summary(path).width) == (96, 128)


def test_the_skeleton_that_is_used_is_the_one_that_counts(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "a.slp", skeletons=2)
    with h5py.File(path, "r+") as file:
        metadata = json.loads(file["metadata"].attrs["json"])
        metadata["nodes"].append({"name": "paw"})
        metadata["skeletons"][1] = {"nodes": [{"id": 2}, {"id": 0}, {"id": 1}], "links": []}
        file["metadata"].attrs["json"] = np.bytes_(json.dumps(metadata))
        instances = file["instances"][:]
        instances["skeleton"] = 1
        file["instances"][:] = instances
    summary = read_summary(path)
    assert (summary.node_names, summary.edge_count) == (("paw", "head", "tail"), 0)


def test_two_skeletons_in_use_are_refused(tmp_path: Path) -> None:
    path = write_slp(tmp_path / "a.slp", skeletons=2)
    with h5py.File(path, "r+") as file:
        instances = file["instances"][:]
        instances["skeleton"][0] = 1
        file["instances"][:] = instances
    with pytest.raises(InvalidDatasetError, match="several skeletons"):
        read_summary(path)


def test_grey_and_colour_images_are_both_seen(tmp_path: Path) -> None:
    colour = {"backend": {"filename": ".", "dataset": "video1/video"}}
    path = write_slp(tmp_path / "a.slp", videos=(EMBEDDED, colour))
    with h5py.File(path, "r+") as file:
        images = file.create_dataset("video1/video", data=np.zeros((3, 16), dtype="i1"))
        images.attrs.update(format="png", height=96, width=128, channels=3)
    summary = read_summary(path)
    assert (summary.channels, summary.least_channels, summary.mixes_channels) == (3, 1, True)
    assert not read_summary(write_slp(tmp_path / "b.slp")).mixes_channels


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"animals_per_frame": ()}, "nothing to train on"),
        ({"instance_type": 1}, "no frame labelled by a person"),
        ({"visible": False}, "none with a visible point"),
        ({"skeletons": 0}, "no skeleton"),
        ({"videos": ()}, "no images"),
        ({"videos": ({"backend": {"filename": "/home/me/fly.mp4"}},)}, r"'fly\.mp4' outside of itself"),
        ({"videos": ({"filename": "https://example.org/x.mp4", "backend": {}},)}, "outside of itself"),
        (
            {"videos": ({"backend": {**EMBEDDED["backend"], "filenames": ["/etc/passwd"]}},)},
            "outside of itself",
        ),
        ({"videos": (EMBEDDED, {"backend": {"filename": "C:\\secret\\b.avi"}})}, r"'b\.avi'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(InvalidDatasetError, match=sentence):
        read_summary(write_slp(tmp_path / "a.slp", **settings))


def test_no_file_is_read_by_way_of_another(tmp_path: Path) -> None:
    secret = write_slp(tmp_path / "secret.slp")
    linked = write_slp(tmp_path / "linked.slp")
    with h5py.File(linked, "a") as file:
        del file["video0/video"]
        file["video0/video"] = h5py.ExternalLink(str(secret), "video0/video")
    with pytest.raises(InvalidDatasetError, match="links to another file"):
        read_summary(linked)

    stored = write_slp(tmp_path / "stored.slp")
    with h5py.File(stored, "a") as file:
        file.create_dataset("video0/more", (10,), "i1", external=[("/etc/passwd", 0, 10)])
    with pytest.raises(InvalidDatasetError, match="in another file"):
        read_summary(stored)

    virtual = write_slp(tmp_path / "virtual.slp")
    with h5py.File(virtual, "a") as file:
        layout = h5py.VirtualLayout(shape=(3, 16), dtype="i1")
        layout[:] = h5py.VirtualSource(str(secret), "video0/video", shape=(3, 16))
        file.create_virtual_dataset("video0/more", layout)
    with pytest.raises(InvalidDatasetError, match="in another file"):
        read_summary(virtual)


@pytest.mark.parametrize("content", [b"", b"labels: []", b"PK\x03\x04"])
def test_what_is_no_dataset_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.slp"
    path.write_bytes(content)
    with pytest.raises(InvalidDatasetError, match=r"a\.slp can't be read"):
        read_summary(path)
    with pytest.raises(InvalidDatasetError, match=r"can't be read"):
        read_summary(tmp_path / "missing.slp")


@pytest.mark.parametrize("removed", ["metadata", "instances", "points", "videos_json", "video0"])
def test_a_dataset_with_a_part_missing_is_refused(tmp_path: Path, removed: str) -> None:
    path = write_slp(tmp_path / "a.slp")
    with h5py.File(path, "a") as file:
        del file[removed]
    with pytest.raises(InvalidDatasetError, match="can't be read"):
        read_summary(path)
