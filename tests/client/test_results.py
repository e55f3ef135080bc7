"""What a worker sent as its result: laid down whole, or refused with what to do next."""

import io
import zipfile

import pytest

from sleaprtc.client.inputs.models import read_models
from sleaprtc.client.inputs.packing import read_with_images
from sleaprtc.client.inputs.scratch import Scratch
from sleaprtc.client.results.delivery import JobOutcome, ModelFolders
from sleaprtc.client.results.predictions import PredictionsFile
from sleaprtc.client.results.video_places import prepare_predictions
from sleaprtc.demo.scenario import model_dirs
from sleaprtc.errors import (
    EXIT_JOB_FAILED,
    BrokenResultError,
    InvalidDatasetError,
    InvalidModelError,
    InvalidTrainingConfigError,
    JobFailedError,
)

from ..formats.hostile import broken_hdf5, broken_zips
from ..support.datasets import read_dataset
from ..support.lab import make_labels, make_model, make_package

MODEL = {"centroid/best.ckpt": b"weights " * 3000, "centroid/training_config.yaml": b"a: 1"}
BROKEN = dict(broken_zips(MODEL))


def incoming(tmp_path, name, content):
    folder = tmp_path / ".incoming-job"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


async def lay_down(tmp_path, *files):
    return await ModelFolders(tmp_path).lay_down("job", "gpu-1", JobOutcome(files, None), lambda _: None)


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_archive_is_kept_and_nothing_else(tmp_path, name):
    received = incoming(tmp_path, "m.models.zip", BROKEN[name])
    with pytest.raises(BrokenResultError, match=r"^What gpu-1 sent .*--worker.* kept as") as caught:
        await lay_down(tmp_path, received)
    assert caught.value.exit_status == EXIT_JOB_FAILED
    assert caught.value.error_code == "BROKEN_RESULT"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [received]


async def test_a_broken_archive_beside_a_sound_one_leaves_nothing_either(tmp_path):
    sound = incoming(tmp_path, "a.zip", b"")
    with zipfile.ZipFile(sound, "w") as archive:
        archive.writestr("centroid/best.ckpt", b"x")
    broken = incoming(tmp_path, "b.zip", BROKEN["a cut end"])
    with pytest.raises(BrokenResultError):
        await lay_down(tmp_path, sound, broken)
    assert [path.name for path in tmp_path.iterdir()] == [".incoming-job"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"centroid/": b""},
        {"best.ckpt": b""},
        {".incoming-x/best.ckpt": b"x"},
        {".bashrc": b"echo x"},
    ],
)
async def test_an_empty_result_is_no_success(tmp_path, members):
    received = incoming(tmp_path, "m.zip", b"")
    with zipfile.ZipFile(received, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(JobFailedError, match=r"gpu-1 .*no model in it.*--worker"):
        await lay_down(tmp_path, received)
    assert [path.name for path in tmp_path.iterdir()] == [".incoming-job"]


async def test_no_file_and_an_empty_file_are_no_success_either(tmp_path):
    with pytest.raises(JobFailedError, match="no model in it"):
        await lay_down(tmp_path)
    with pytest.raises(JobFailedError, match="no model in it"):
        await lay_down(tmp_path, incoming(tmp_path, "best.ckpt", b""))


async def test_hidden_files_stay_out_of_the_folder(tmp_path):
    received = incoming(tmp_path, "m.zip", b"")
    with zipfile.ZipFile(received, "w") as archive:
        for name in (".bashrc", "centroid/best.ckpt", "centroid/.notes"):
            archive.writestr(name, b"x")
    completed = await lay_down(tmp_path, received)
    assert completed.model_dirs == (str(tmp_path / "centroid"),)
    assert not (tmp_path / ".bashrc").exists()


async def test_predictions_that_are_broken(tmp_path):
    received = make_labels(incoming(tmp_path, "p.slp", b""), video="a.mp4")
    destination = PredictionsFile(tmp_path / "predictions.slp", tmp_path / "a.mp4")
    tried = []
    for name in broken_hdf5(with_tables(received)):
        if any(word in name for word in ("instances", "points", "block")):
            continue  # what predictions are read for doesn't need these
        tried.append(name)
        with pytest.raises(BrokenResultError) as caught:
            prepare_predictions(received, tmp_path / "a.mp4")  # what the process does that is started for it
        assert caught.value.exit_status == EXIT_JOB_FAILED, name
        if name in ("a cut end", "no heap"):
            with pytest.raises(BrokenResultError, match=r"^What gpu-1 sent .*--worker.* kept as"):
                await destination.lay_down("job", "gpu-1", JobOutcome((received,), None), lambda _: None)
    assert len(tried) > 5
    assert {"a cut end", "no heap"} <= {*tried}
    assert not (tmp_path / "predictions.slp").exists()


def with_tables(path):
    import h5py
    import numpy as np

    with h5py.File(path, "r+") as file:
        file["points"] = file["instances"] = np.zeros(3)
    return path


async def test_predictions_of_nothing_are_no_success(tmp_path):
    destination = PredictionsFile(tmp_path / "predictions.slp", tmp_path / "a.mp4")
    received = make_labels(incoming(tmp_path, "p.slp", b""), frames=0, video="a.mp4")
    with pytest.raises(JobFailedError, match="no frames"):
        await destination.lay_down("job", "gpu-1", JobOutcome((received,), None), lambda _: None)
    with pytest.raises(JobFailedError, match="no predictions"):
        await destination.lay_down("job", "gpu-1", JobOutcome((), None), lambda _: None)


def test_what_is_left_of_a_job_is_no_model(tmp_path):
    make_model(tmp_path / "models" / ".incoming-x")
    with pytest.raises(InvalidModelError, match="a model folder"):
        read_models([tmp_path / "models"])
    with pytest.raises(InvalidModelError, match="a model"):
        read_models([tmp_path / "models" / ".incoming-x"])
    make_model(tmp_path / "models" / ".incoming-y" / ".unpacked-0" / "centroid")
    make_model(tmp_path / "models" / "centroid")
    assert [model.folder.name for model in read_models([tmp_path / "models"])] == ["centroid"]
    assert model_dirs(tmp_path / "models") == [tmp_path / "models" / "centroid"]


async def test_labels_over_which_the_library_crashes_are_a_sentence(tmp_path, monkeypatch):
    labels = make_labels(tmp_path / "a.pkg.slp")
    with Scratch() as scratch:
        dataset = await read_with_images(labels, scratch, embed="user", emit=lambda _: None)
        assert dataset == read_dataset(labels)
        monkeypatch.setattr("sleaprtc.formats.child.sys.executable", str(tmp_path / "python"))
        (tmp_path / "python").write_text("#!/bin/sh\nkill -SEGV $$\n")
        (tmp_path / "python").chmod(0o755)
        with pytest.raises(InvalidDatasetError, match=r"^a\.pkg\.slp can't be read as SLEAP labels\.$"):
            await read_with_images(labels, scratch, embed="user", emit=lambda _: None)


async def test_a_broken_configuration_in_a_package_stays_one(tmp_path):
    package = make_package(tmp_path / "job.zip", make_labels(tmp_path / "a.slp"), ["centroid"])
    content = package.read_bytes()
    with zipfile.ZipFile(package, "w") as archive, zipfile.ZipFile(io.BytesIO(content)) as whole:
        for name in whole.namelist():
            archive.writestr(name, "a: [" if name == "centroid.yaml" else whole.read(name))
    with Scratch() as scratch, pytest.raises(InvalidTrainingConfigError, match=r"centroid\.yaml .*line 1"):
        await read_with_images(package, scratch, embed="user", emit=lambda _: None)
