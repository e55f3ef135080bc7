"""Files from others, as worker and client read them: an error of ours, and nothing left behind.

An input is a byte that chooses the reader, one that chooses a sound file, and the changes to that. Without a
sound file, what follows is the file itself.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import yaml

from sleaprtc.base.json_text import parse_json
from sleaprtc.client.inputs.dataset import read_config
from sleaprtc.client.inputs.labels_reader import read_labels
from sleaprtc.client.inputs.model_descriptions import described_models, model_type_of_configs
from sleaprtc.client.results import report, video_places
from sleaprtc.client.results.delivery import _lay_down_models
from sleaprtc.errors import SleapRTCError, StorageError
from sleaprtc.formats import training_package as package
from sleaprtc.formats.sleap_nn.configuration import (
    check_requested,
    filter_config,
    filter_model_config,
    head_of,
    is_legacy,
    legacy_core,
    parse_config,
)
from sleaprtc.transfer.archive import unpack
from sleaprtc.transfer.checkpoints import unsafe_imports
from sleaprtc.transfer.file_signatures import begins_as_video, is_checkpoint_file
from sleaprtc.transfer.model_archive import unpack_models
from sleaprtc.worker.sleap_nn.intake.dataset_reader import read_frame_count, read_summary
from sleaprtc.worker.sleap_nn.intake.model_files import read_models
from sleaprtc.worker.sleap_nn.plan.training import ModelSource, ReceivedConfig, plan_models
from tests.formats.hostile import zipped
from tests.worker.sleap_nn.slp_files import write_slp

from ..support.datasets import read_dataset

PATIENCE_SEC: Final = 30.0
"""Far more than any input takes, on a machine with other work."""

CONFIG: Final = """
data_config: {preprocessing: {scale: 0.5, crop_size: null}, skeletons: [{nodes: [{name: head}]}]}
model_config:
  backbone_config: {unet: {filters: 16, filters_rate: 1.5, max_stride: 16, output_stride: 2}}
  head_configs: {centroid: {confmaps: {anchor_part: head, sigma: 2.5, output_stride: 2}}}
trainer_config: {max_epochs: 5, optimizer: {lr: 1.0e-4}, seed: 42, train_data_loader: {batch_size: 4}}
"""
LEGACY: Final = {
    "data": {"preprocessing": {"input_scaling": 1.0}, "labels": {"validation_fraction": 0.1}},
    "model": {"backbone": {"unet": {"filters": 8}}, "heads": {"centroid": {"sigma": 2.5}}},
    "optimization": {"epochs": 3},
}
JOBS: Final = {"training": [{"cfg": "centroid.yaml", "train_labels": "x.pkg.slp", "val_labels": "v.slp"}]}


def _on_worker_package(path: Path) -> None:
    folder = path.with_name("job")
    folder.mkdir()
    package.is_package(path)
    try:
        for model in package.unpack(path, folder):
            _judge_config(parse_config(model.config, model.config_name))
    except SleapRTCError:
        assert not any(folder.iterdir()), "half a package is left"
        raise
    finally:
        shutil.rmtree(folder)


def _on_client_archive(path: Path) -> None:
    try:
        unpack(path, path.with_name("models"))
    finally:
        shutil.rmtree(path.with_name("models"), ignore_errors=True)


def _on_worker_models(path: Path) -> None:
    work_dir = path.with_name("work")
    try:
        unpack_models(path, work_dir / "m")
        read_models([path], work_dir)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _on_client_result(path: Path) -> None:
    out_dir, staging_dir = path.with_name("out"), path.with_name("staging")
    out_dir.mkdir()
    staging_dir.mkdir()
    try:
        folders, names = _lay_down_models((path,), out_dir, staging_dir)
        report.complete_reports(folders, names, ())
    except SleapRTCError:
        assert not any(out_dir.iterdir()), "half a result is left"
        raise
    finally:
        shutil.rmtree(out_dir)
        shutil.rmtree(staging_dir)


def _on_both_checkpoint(path: Path) -> None:
    is_checkpoint_file(path)
    unsafe_imports(path)


def _on_worker_labels(path: Path) -> None:
    try:
        summary = read_summary(path)
    except SleapRTCError:
        read_frame_count(path)
        raise
    plan_models([ModelSource("a.slp", summary)], {}, accelerated=False)


def _on_client_labels(path: Path) -> None:
    read_labels(path)
    read_dataset(path)


def _on_client_predictions(path: Path) -> None:
    video_places.prepare_predictions(path, path.with_name("a.mp4"))


@functools.cache
def _summary() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return read_summary(write_slp(Path(folder, "a.slp")))


def _judge_config(document: Mapping[str, Any]) -> None:
    if is_legacy(document):
        json.dumps(legacy_core(document, "c.yaml"))
        return
    json.dumps(filter_model_config(document, "c.yaml"))
    head_of(filter_config(document, "c.yaml"), "c.yaml")
    source = ModelSource("a.slp", _summary(), config=ReceivedConfig("c.yaml", document))
    for plan in plan_models([source], {}, accelerated=True):
        json.dumps(plan.config)


def _on_both_config(path: Path) -> None:
    config = read_config(path)
    if config is not None:
        model_type_of_configs([config])
        json.dumps([model.as_json() for model in described_models([config])])
    _judge_config(parse_config(path.read_bytes(), path.name))


def _on_worker_request(path: Path) -> None:
    try:
        requested = parse_json(path.read_bytes())
    except ValueError:
        return
    if isinstance(requested, dict):
        plan_models([ModelSource("a.slp", _summary())], requested, accelerated=True)
        check_requested(requested)


def _on_client_report(path: Path) -> None:
    model = path.with_name("model")
    (model / "report").mkdir(parents=True)
    for name in ("metrics.json", "losses.csv"):
        shutil.copyfile(path, model / "report" / name)
    report.complete_report(model, "centroid", None)
    shutil.rmtree(model)


READERS: Final[list[tuple[str, Callable[[Path], object]]]] = [
    ("job.zip", _on_worker_package),
    ("job.zip", read_dataset),
    ("models.zip", _on_client_archive),
    ("models.zip", _on_worker_models),
    ("models.zip", _on_client_result),
    ("best.ckpt", _on_both_checkpoint),
    ("a.pkg.slp", _on_worker_labels),
    ("a.pkg.slp", _on_client_labels),
    ("a.pkg.slp", _on_client_predictions),
    ("c.yaml", _on_both_config),
    ("c.json", _on_both_config),
    ("request.json", _on_worker_request),
    ("report", _on_client_report),
    ("a.mp4", begins_as_video),
]


@functools.cache
def sound_files() -> tuple[bytes, ...]:
    """Real files of every format, small ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_slp(Path(folder, "x.pkg.slp"))
        with h5py.File(path, "r+") as file:
            file["frames"] = np.zeros(3, dtype=[("frame_id", "u8")])
        labels = path.read_bytes()
    checkpoint = zipped(
        {"best/data.pkl": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.", "best/data/0": b"w"}, 0
    )
    model = {"best.ckpt": checkpoint, "training_config.yaml": CONFIG.encode()}
    metrics = {"version": 1, "splits": {"val": {"oks": {"map": 0.5}}}, "problems": []}
    return (
        zipped(
            {
                "x.pkg.slp": labels,
                "v.slp": labels,
                "centroid.yaml": CONFIG.encode(),
                "jobs.yaml": yaml.safe_dump(JOBS).encode(),
            }
        ),
        zipped(model, zipfile.ZIP_STORED),
        zipped({f"{head}/{name}": content for head in ("a", "b") for name, content in model.items()}),
        checkpoint,
        labels,
        CONFIG.encode(),
        json.dumps(LEGACY).encode(),
        b'{"model_type": "base", "epochs": 3, "batch_size": 4, "learning_rate": 0.001}',
        json.dumps(metrics).encode(),
        b"epoch,train_loss,val_loss\n1,0.5,0.6\n2,0.4,\n",
    )


def fuzz_archives(data: bytes) -> None:
    """Any bytes are read, or are an error that says what is wrong with the file."""
    if len(data) < 2:
        return
    name, read = READERS[data[0] % len(READERS)]
    sounds = (b"", *sound_files())
    sound = sounds[data[1] % len(sounds)]
    read_within_bounds(name, read, changed(sound, data[2:]) if sound else data[2:])


def changed(sound: bytes, changes: bytes) -> bytes:
    """Carries out changes of six bytes each: what, where (three), and two more that depend on what."""
    content = bytearray(sound)
    for start in range(0, len(changes) - 5, 6):
        what, *where, low, high = changes[start : start + 6]
        at = int.from_bytes(where, "big") % max(1, len(content))
        if what % 6 == 0:
            content[at : at + 1] = bytes([low])
        elif what % 6 == 1:
            content[at : at + 4] = bytes([low, high]) * 2
        elif what % 6 == 2:
            del content[at : at + low * 256 + high]
        elif what % 6 == 3:
            content[at:at] = bytes([low]) * high
        elif what % 6 == 4:
            content[at : at + 8] = (high * 256 + low).to_bytes(8, "little")
        else:
            content[at:at] = content[at : at + low]
    return bytes(content)


def read_within_bounds(name: str, read: Callable[[Path], object], content: bytes) -> None:
    """Has a file read; raises unless it's taken, or refused by an error of ours that says why."""
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        started = time.monotonic()
        try:
            read(path)
        except StorageError:
            raise
        except SleapRTCError as error:
            sentence = str(error)
            assert sentence.endswith("."), sentence
            assert len(sentence) < 1000, sentence
        assert time.monotonic() - started < PATIENCE_SEC, "it took too long"
        left = sorted(entry.name for entry in Path(folder).iterdir())
        assert left == [name], f"something is left: {left}"


def _fast_folder() -> str | None:
    return "/dev/shm" if sys.platform == "linux" and Path("/dev/shm").is_dir() else None
