"""Reproducible archives of models."""

import zipfile

import pytest

from sleaprtc.errors import InvalidArchiveError, StorageError
from sleaprtc.transfer.disk import hash_file
from sleaprtc.transfer.model_archive import pack_model, unpack_models

from ..support.lab import make_model


def test_the_same_model_is_the_same_file(tmp_path):
    first = make_model(tmp_path / "centroid")
    second = make_model(tmp_path / "other" / "folder")
    (second / "report.png").write_bytes(b"x")
    pack_model(first, tmp_path / "a.zip")
    pack_model(second, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    (second / "training_config.yaml").write_text("a: 2")
    pack_model(second, tmp_path / "c.zip")
    assert hash_file(tmp_path / "a.zip", "blake3") != hash_file(tmp_path / "c.zip", "blake3")


def test_its_bytes_are_the_protocols(tmp_path):
    """The protocol reference describes them, so that other implementations get the same digests."""
    make_model(tmp_path / "m")
    pack_model(tmp_path / "m", tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as packed:
        members = packed.infolist()
    assert [member.filename for member in members] == ["best.ckpt", "training_config.yaml"]
    for member in members:
        assert (member.compress_type, member.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
        assert (member.create_system, member.external_attr >> 16) == (3, 0o100644)


def test_what_was_packed_comes_out(tmp_path):
    model = make_model(tmp_path / "m")
    pack_model(model, tmp_path / "m.zip")
    (folder,) = unpack_models(tmp_path / "m.zip", tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "training_config.yaml"]
    assert (folder / "best.ckpt").read_bytes() == (model / "best.ckpt").read_bytes()


def test_models_in_folders_come_out_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        for head in ("centroid", "centered_instance"):
            packed.writestr(f"{head}/best.ckpt", b"x")
            packed.writestr(f"{head}/training_config.yaml", b"x")
    folders = unpack_models(tmp_path / "m.zip", tmp_path / "out")
    assert [folder.name for folder in folders] == ["centroid", "centered_instance"]


@pytest.mark.parametrize("names", [[], ["best.ckpt"], ["../best.ckpt", "training_config.yaml"], ["/etc/x"]])
def test_what_is_no_model_is_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        for name in names:
            packed.writestr(name, b"x")
    with pytest.raises(InvalidArchiveError):
        unpack_models(tmp_path / "m.zip", tmp_path / "out")
    assert not (tmp_path / "best.ckpt").exists()


def test_a_folder_without_a_checkpoint_cannot_be_packed(tmp_path):
    with pytest.raises(StorageError):
        pack_model(tmp_path, tmp_path / "m.zip")
    assert not (tmp_path / "m.zip").exists()
