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
