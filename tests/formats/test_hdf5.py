"""Broken and hostile HDF5 files, on worker and client: an error within seconds, with little memory."""

import resource
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from sleaprtc.client.inputs.labels_reader import read_labels
from sleaprtc.client.results.video_places import prepare_predictions
from sleaprtc.errors import BrokenResultError, InvalidDatasetError
from sleaprtc.formats.hdf5 import open_hdf5, outside_reference
from sleaprtc.worker.sleap_nn.intake.dataset import inspect_dataset, inspect_images
from sleaprtc.worker.sleap_nn.intake.dataset_reader import read_summary

from ..support.datasets import read_dataset
from ..support.lab import make_labels
from ..worker.sleap_nn.slp_files import EMBEDDED, INSTANCE, POINT, write_slp
from .hostile import broken_hdf5

PATIENCE_SEC = 60.0
"""Each takes a tenth of a second alone."""

MAX_MORE_MEMORY_KB = 400_000


def write_dataset(path: Path) -> Path:
    """What both sides read."""
    write_slp(path)
    with h5py.File(path, "r+") as file:
        file["frames"] = np.zeros(3, dtype=[("frame_id", "u8")])
    return path


def memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_broken_datasets_on_both_sides(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.pkg.slp")
    assert read_summary(path)
    assert read_dataset(path)
    before_kb, refused = memory_kb(), []
    for name in broken_hdf5(path):
        started = time.monotonic()
        with pytest.raises(InvalidDatasetError) as caught:
            read_summary(path)
        assert str(caught.value).startswith("a.pkg.slp "), name
        assert len(str(caught.value)) < 400
        try:  # the client reads less of it
            read_labels(path)
            read_dataset(path)
        except InvalidDatasetError:
            refused.append(name)
        try:
            prepare_predictions(path, tmp_path / "a.mp4")
        except BrokenResultError:
            refused.append(name)
        assert time.monotonic() - started < PATIENCE_SEC, name
    assert memory_kb() - before_kb < MAX_MORE_MEMORY_KB
    assert {"videos of gigabytes", "a cut end", "videos that link to themselves"} <= set(refused)


def test_a_loop_of_hard_links_is_walked_once(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.slp")
    with h5py.File(path, "r+") as file:
        for number in range(50):
            group = file.create_group(f"g{number}")
            for other in range(50):
                group[f"up{other}"] = file["/"]
                group[f"across{other}"] = file["g0"]
    started = time.monotonic()
    with h5py.File(path) as file:
        assert outside_reference(file) is None
    assert time.monotonic() - started < PATIENCE_SEC
    assert read_summary(path)


def test_a_chain_of_groups_has_no_depth_that_hurts(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "a.slp")
    with h5py.File(path, "r+") as file:
        group = file["/"]
        for _ in range(3000):
            group = group.create_group("x")
        group["y"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(InvalidDatasetError, match="links to another file"):
        read_summary(path)


def test_millions_of_points_that_are_there_are_looked_at(tmp_path: Path) -> None:
    """Two million points of half a million animals."""
    path = write_dataset(tmp_path / "a.slp")
    points = np.zeros(2_000_000, dtype=POINT)
    points["x"], points["visible"] = np.arange(2_000_000) % 4 * 10.0, True
    instances = np.zeros(500_000, dtype=INSTANCE)
    instances["frame_id"] = np.arange(500_000) // 5
    instances["point_id_start"] = np.arange(500_000) * 4
    instances["point_id_end"] = instances["point_id_start"] + 4
    with h5py.File(path, "r+") as file:
        del file["points"], file["instances"]
        file["points"], file["instances"] = points, instances
    summary = read_summary(path)
    assert (summary.frame_count, summary.max_instances, summary.max_instance_px) == (100_000, 5, 30.0)


@pytest.mark.parametrize(
    ("column", "value"),
    [("point_id_start", 2**64 - 1), ("point_id_end", 2**63), ("point_id_start", 5), ("point_id_end", 6)],
)
def test_instances_whose_points_are_not_there_or_are_others(tmp_path: Path, column: str, value: int) -> None:
    path = write_dataset(tmp_path / "a.slp")
    with h5py.File(path, "r+") as file:
        rows = file["instances"][:]
        rows[column][0] = value
        file["instances"][:] = rows
    with pytest.raises(InvalidDatasetError):
        read_summary(path)


@pytest.mark.parametrize("x", [1e300, -1e300, 1e8])
def test_a_point_outside_of_every_image(tmp_path: Path, x: float) -> None:
    with pytest.raises(InvalidDatasetError, match="outside of every image"):
        read_summary(write_slp(tmp_path / "a.slp", animal_px=x))


@pytest.mark.parametrize("size", [(0, 10, 1), (10, -1, 1), (10**9, 10, 1), (10, 10, 0), (10, 10, 400)])
def test_images_of_no_size(tmp_path: Path, size: tuple[int, int, int]) -> None:
    path = write_slp(tmp_path / "a.slp")
    with h5py.File(path, "r+") as file:
        attributes = file["video0/video"].attrs
        attributes["height"], attributes["width"], attributes["channels"] = size
    with pytest.raises(InvalidDatasetError, match="can't have a size"):
        read_summary(path)


async def test_a_crash_of_the_library_costs_the_job_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sleaprtc.formats.child.sys.executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(InvalidDatasetError, match=r"a\.slp can't be read"):
        await inspect_images(write_dataset(tmp_path / "a.slp"))


async def test_a_child_that_says_too_much_is_not_listened_to(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sleaprtc.formats.child.sys.executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\nexec yes\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(InvalidDatasetError, match=r"a\.slp can't be read"):
        await inspect_dataset(write_dataset(tmp_path / "a.slp"))


def test_sound_files_are_read_as_before(tmp_path: Path) -> None:
    labels = make_labels(tmp_path / "l.slp", frames=4)
    assert read_dataset(labels).info.frame_count == 4
    assert read_labels(labels).frame_count
    (place,) = read_labels(make_labels(tmp_path / "v.slp", embedded=False))
    assert place.fault == "The video /videos/fly.mp4 isn't there, nor beside v.slp."
    assert read_summary(write_slp(tmp_path / "s.slp", videos=(EMBEDDED,))).height == 96


def test_what_the_system_says_is_said_without_the_call_around_it(tmp_path):
    with (
        pytest.raises(InvalidDatasetError) as caught,
        open_hdf5(tmp_path, InvalidDatasetError, as_what="labels"),
    ):
        pass
    assert str(caught.value) == f"{tmp_path.name} can't be read as labels (Is a directory)."
