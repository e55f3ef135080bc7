"""SLEAP's training job package, whole and tampered with."""

import stat
import zipfile
from pathlib import Path

import pytest
import yaml

from sleaprtc.errors import InvalidDatasetError, InvalidTrainingConfigError
from sleaprtc.formats.training_package import PackagedModel, is_package, unpack, unpack_labels

JOBS = {
    "training": [
        {"cfg": "centroid.yaml", "run_path": "models/a", "train_labels": "x.pkg.slp"},
        {"cfg": "centered_instance.yaml", "run_path": "models/b", "train_labels": "x.pkg.slp"},
    ],
    "inference": [],
}
MEMBERS = {
    "jobs.yaml": yaml.safe_dump(JOBS).encode(),
    "centroid.yaml": b"c: 1",
    "centered_instance.yaml": b"i: 1",
    "x.pkg.slp": b"labels",
    "train-script.sh": b"#!/bin/sh\ntouch /tmp/ran",
}


def write_zip(path: Path, members: dict[str, bytes] | None = None, **changed: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**(MEMBERS if members is None else members), **changed}.items():
            archive.writestr(name, content)
    return path


def folder_in(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def test_a_package_is_unpacked_in_its_order_without_its_scripts(tmp_path: Path) -> None:
    path, folder = write_zip(tmp_path / "job.zip"), folder_in(tmp_path)
    assert is_package(path)
    assert unpack(path, folder) == (
        PackagedModel("centroid.yaml", b"c: 1", "x.pkg.slp"),
        PackagedModel("centered_instance.yaml", b"i: 1", "x.pkg.slp"),
    )
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [("x.pkg.slp", b"labels")]


def test_validation_labels_come_along(tmp_path: Path) -> None:
    jobs = {"training": [{"cfg": "centroid.yaml", "train_labels": "x.pkg.slp", "val_labels": "v.slp"}]}
    path = write_zip(
        tmp_path / "a.zip", {**MEMBERS, "jobs.yaml": yaml.safe_dump(jobs).encode(), "v.slp": b"v"}
    )
    folder = folder_in(tmp_path)
    assert unpack(path, folder) == (PackagedModel("centroid.yaml", b"c: 1", "x.pkg.slp", "v.slp"),)
    assert (folder / "v.slp").read_bytes() == b"v"


def test_one_without_a_list_trains_centroids_first(tmp_path: Path) -> None:
    members = {name: content for name, content in MEMBERS.items() if name != "jobs.yaml"}
    models = unpack(write_zip(tmp_path / "a.zip", members), folder_in(tmp_path))
    assert [model.config_name for model in models] == ["centroid.yaml", "centered_instance.yaml"]


def test_one_without_labels_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidDatasetError, match=r"has no labels \(\.slp\), and no jobs\.yaml"):
        unpack(write_zip(tmp_path / "a.zip", {"centroid.yaml": b"c: 1"}), folder_in(tmp_path))


ADDED = {
    "__MACOSX/._x.pkg.slp": b"not labels",
    "__MACOSX/job/._jobs.yaml": b"\0\5\x16\7",
    "._centroid.yaml": b"\0\5\x16\7",
    ".DS_Store": b"\0",
    "Thumbs.db": b"\0",
}


@pytest.mark.parametrize("folder", ["", "job/", "labels.v001.slp.training_job/"])
@pytest.mark.parametrize("added", [{}, ADDED])
@pytest.mark.parametrize("with_folder_itself", [False, True])
def test_one_that_a_file_manager_packed_anew(
    tmp_path: Path, folder: str, added: dict[str, bytes], with_folder_itself: bool
) -> None:
    members = {folder: b""} if folder and with_folder_itself else {}
    members |= {
        (name if name.startswith("__") else folder + name): content for name, content in added.items()
    }
    members |= {folder + name: content for name, content in MEMBERS.items()}
    path, target = write_zip(tmp_path / "a.zip", members), folder_in(tmp_path)
    models = (
        PackagedModel("centroid.yaml", b"c: 1", "x.pkg.slp"),
        PackagedModel("centered_instance.yaml", b"i: 1", "x.pkg.slp"),
    )
    assert unpack(path, target) == models
    assert [file.name for file in target.iterdir()] == ["x.pkg.slp"]
    assert unpack_labels(path, tmp_path / "labels.slp") == models
    assert (tmp_path / "labels.slp").read_bytes() == b"labels"


@pytest.mark.parametrize(
    "members",
    [
        {"job/x/jobs.yaml": b""},
        {"a/jobs.yaml": b"", "b/x.slp": b""},
        {"../jobs.yaml": b"", "../x.slp": b""},
        {"/jobs.yaml": b"", "/x.slp": b""},
        {".hidden/jobs.yaml": b"", ".hidden/x.slp": b""},
    ],
)
def test_other_folders_are_not_seen_through(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(InvalidDatasetError, match="isn't a plain file in its top folder"):
        unpack(write_zip(tmp_path / "a.zip", members), folder_in(tmp_path))


def test_what_a_file_manager_adds_is_held_to_the_limits_too(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, "__MACOSX/._x": bytes(50_000_000)})
    with pytest.raises(InvalidDatasetError, match="too densely"):
        unpack(path, folder_in(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["../x.slp", "/etc/x.slp", "a/b.slp", "a\\b.slp", "C:x.slp", "a/", ".hidden", "x\x07.slp", "n" * 300],
)
def test_a_member_outside_of_the_top_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, name: b"x"})
    folder = folder_in(tmp_path)
    with pytest.raises(InvalidDatasetError, match="isn't a plain file in its top folder"):
        unpack(path, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_is_refused(tmp_path: Path, kind: int) -> None:
    path = write_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("link.slp")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InvalidDatasetError, match="isn't a plain file"):
        unpack(path, folder_in(tmp_path))


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, "x.pkg.slp": bytes(50_000_000)})
    with pytest.raises(InvalidDatasetError, match="too densely"):
        unpack(path, folder_in(tmp_path))


def test_a_member_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, "x.pkg.slp": bytes(range(256)) * 40})
    content = path.read_bytes()
    path.write_bytes(content.replace((256 * 40).to_bytes(4, "little"), (5).to_bytes(4, "little")))
    with pytest.raises(InvalidDatasetError, match=r"larger than it says|can't be read as a zip"):
        unpack(path, folder_in(tmp_path))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{n}.txt": b"" for n in range(100)})
    with pytest.raises(InvalidDatasetError, match="100 files"):
        unpack(path, folder_in(tmp_path))


def test_names_that_some_disks_confuse_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, "X.PKG.SLP": b"x"})
    with pytest.raises(InvalidDatasetError, match="two files called"):
        unpack(path, folder_in(tmp_path))


@pytest.mark.parametrize(
    ("jobs", "sentence"),
    [
        ({}, "lists no model"),
        ({"training": []}, "lists no model"),
        ({"training": "all"}, "lists no model"),
        ({"training": ["centroid.yaml"]}, "without configuration or labels"),
        ({"training": [{"cfg": "centroid.yaml"}]}, "without configuration or labels"),
        ({"training": [{"cfg": "../c.yaml", "train_labels": "x.pkg.slp"}]}, "outside of the package"),
        ({"training": [{"cfg": "centroid.yaml", "train_labels": "/etc/passwd"}]}, "outside of the package"),
        ({"training": [{"cfg": 5, "train_labels": "x.pkg.slp"}]}, "outside of the package"),
        ({"training": [{"cfg": "train-script.sh", "train_labels": "x.pkg.slp"}]}, "wrong kind"),
        ({"training": [{"cfg": "centroid.yaml", "train_labels": "train-script.sh"}]}, "wrong kind"),
        ({"training": [{"cfg": "gone.yaml", "train_labels": "x.pkg.slp"}]}, "missing file"),
    ],
)
def test_a_list_that_leads_nowhere_is_refused(tmp_path: Path, jobs: dict, sentence: str) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, "jobs.yaml": yaml.safe_dump(jobs).encode()})
    with pytest.raises((InvalidDatasetError, InvalidTrainingConfigError), match=sentence):
        unpack(path, folder_in(tmp_path))


def test_a_configuration_too_large_to_be_one_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {**MEMBERS, "centroid.yaml": b"a: 1\n" * 100_000})
    with pytest.raises(InvalidTrainingConfigError, match="too large"):
        unpack(path, folder_in(tmp_path))


@pytest.mark.parametrize("cut", [30, 200, -40])
def test_a_damaged_zip_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_zip(tmp_path / "a.zip")
    content = path.read_bytes()
    path.write_bytes(content[:cut] + b"\xff" * 20 + content[cut + 20 :] if cut > 0 else content[:cut])
    with pytest.raises((InvalidDatasetError, InvalidTrainingConfigError)):
        unpack(path, folder_in(tmp_path))


def test_a_zip_with_neither_list_nor_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDatasetError, match=r"no jobs\.yaml"):
        unpack(write_zip(tmp_path / "a.zip", {"readme.txt": b""}), folder_in(tmp_path))
