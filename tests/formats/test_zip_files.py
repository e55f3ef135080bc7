"""Broken and hostile zip files, wherever one is read: the reader's own error, and nothing left behind."""

from pathlib import Path

import pytest
import yaml

from sleaprtc.errors import BrokenResultError, InvalidArchiveError, InvalidModelError, UsageError
from sleaprtc.formats import training_package as package
from sleaprtc.formats.reading import FileLimitError
from sleaprtc.formats.zip_files import MAX_READ_BYTES, ZipLimits, fault_of_members, open_zip
from sleaprtc.transfer.archive import unpack
from sleaprtc.transfer.checkpoints import UNREADABLE, unsafe_imports
from sleaprtc.transfer.file_signatures import is_checkpoint_file
from sleaprtc.transfer.model_archive import unpack_models

from ..support.datasets import read_dataset
from .hostile import broken_zips, zipped

JOBS = {"training": [{"cfg": "centroid.yaml", "train_labels": "x.slp"}]}
PACKAGE = {
    "x.slp": b"labels " * 3000,
    "centroid.yaml": b"model_config: {head_configs: {centroid: {}}}",
    "jobs.yaml": yaml.safe_dump(JOBS).encode(),
}
MODEL = {"best.ckpt": b"weights " * 3000, "training_config.yaml": b"a: 1"}
CHECKPOINT = {"best/data.pkl": b"\x80\x02" + b"N0" * 3000 + b"N.", "best/data/0": b"weights"}


BROKEN = {
    kind: dict(broken_zips(members))
    for kind, members in (("package", PACKAGE), ("model", MODEL), ("checkpoint", CHECKPOINT))
}


@pytest.mark.parametrize("name", BROKEN["package"])
def test_a_broken_package_on_a_worker(tmp_path: Path, name: str) -> None:
    path, folder = tmp_path / "job.zip", tmp_path / "job"
    path.write_bytes(BROKEN["package"][name])
    folder.mkdir()
    package.is_package(path)
    with pytest.raises(UsageError) as caught:
        package.unpack(path, folder)
    assert caught.value.code in ("INVALID_DATASET", "INVALID_CONFIG")
    assert str(caught.value).endswith(".")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", BROKEN["package"])
def test_a_broken_package_on_a_client(tmp_path: Path, name: str) -> None:
    path = tmp_path / "job.zip"
    path.write_bytes(BROKEN["package"][name])
    with pytest.raises(UsageError, match=r"job\.(zip|slp)|centroid\.yaml"):
        read_dataset(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("reader", [unpack, unpack_models])
@pytest.mark.parametrize("name", BROKEN["model"])
def test_a_broken_model_archive(tmp_path: Path, name: str, reader) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(BROKEN["model"][name])
    with pytest.raises(InvalidArchiveError):
        reader(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(BrokenResultError):
        reader(path, tmp_path / "out", error=BrokenResultError)


@pytest.mark.parametrize("name", BROKEN["checkpoint"])
def test_a_broken_checkpoint(tmp_path: Path, name: str) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(BROKEN["checkpoint"][name])
    assert not is_checkpoint_file(path)
    assert unsafe_imports(path) in ([], [UNREADABLE])


def test_a_checkpoint_that_would_grow_is_none(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").write_bytes(zipped({"best/data.pkl": b"\x80\x02N."}))
    assert not is_checkpoint_file(tmp_path / "best.ckpt")
    (tmp_path / "best.ckpt").write_bytes(zipped({"best/data.pkl": b"\x80\x02N."}, method=0))
    assert is_checkpoint_file(tmp_path / "best.ckpt")


def test_what_was_there_stays_until_all_is_unpacked(tmp_path: Path) -> None:
    """A killed process may have left a part of it."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "half").touch()
    (tmp_path / "m.zip").write_bytes(zipped(MODEL)[:-30])
    with pytest.raises(InvalidArchiveError):
        unpack(tmp_path / "m.zip", out)
    assert [path.name for path in out.iterdir()] == ["half"]
    (tmp_path / "m.zip").write_bytes(zipped(MODEL))
    assert sorted(path.name for path in unpack(tmp_path / "m.zip", out)) == sorted(MODEL)
    assert sorted(path.name for path in out.iterdir()) == sorted(MODEL)


def test_a_directory_is_read_within_bounds(tmp_path: Path) -> None:
    """An archive of nothing but names would take forty times its size in memory."""
    path = tmp_path / "names.zip"
    path.write_bytes(zipped({f"{number:060000}": b"" for number in range(MAX_READ_BYTES // 60_000 + 1)}, 0))
    with pytest.raises(InvalidModelError, match="directory is too large"), open_zip(path, InvalidModelError):
        raise AssertionError


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """As in David Fifield's zip bombs, in which all members share the same bytes."""
    content = zipped({f"{number}.txt": b"x" * 100 for number in range(10)}, 0)
    at = content.find(b"PK\x01\x02")
    shared = bytearray(content)
    while at >= 0:
        shared[at + 42 : at + 46] = bytes(4)
        at = content.find(b"PK\x01\x02", at + 1)
    path = tmp_path / "bomb.zip"
    path.write_bytes(bytes(shared))
    with open_zip(path, InvalidModelError) as archive:
        assert "overlap" in (fault_of_members(archive, ZipLimits(100, 10**9)) or "")


@pytest.mark.logs_error("UnheardOfError")
def test_an_error_that_nobody_expects_is_translated_and_logged(tmp_path: Path, caplog) -> None:
    class UnheardOfError(Exception):
        pass

    path = tmp_path / "a.zip"
    path.write_bytes(zipped(MODEL))
    with pytest.raises(InvalidModelError, match="odd"), open_zip(path, InvalidModelError):
        raise UnheardOfError("odd\x1b[2J\nand more")
    assert "UnheardOfError" in caplog.text
    caplog.clear()
    with pytest.raises(InvalidModelError), open_zip(path, InvalidModelError):
        raise FileLimitError("known")
    assert not caplog.text
