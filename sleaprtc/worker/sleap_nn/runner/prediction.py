"""Prediction: the models of a task on the frames of one recording."""

import contextlib
import importlib.util
import json
import pathlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .inspection import available_device, import_torchvision
from .parent import Parent, RunnerError, reason_of
from .training import load_labels, verify_config

MODELS_FOLDER = "models"
REPORT_INTERVAL_SEC = 1.0
LATER_REPORT_INTERVAL_SEC = 5.0
"""After the first minute: a day of predicting is a few thousand reports."""


def predict(task: Mapping[str, Any], parent: Parent) -> None:
    """Predicts, writes the predictions, and then reports "done"."""
    parent.tell("stage", stage="preparing", message="Loading sleap-nn")
    import_torchvision()
    device = available_device()
    parent.tell("stage", stage="preparing", message="Loading the models")
    folders = [lay_out_model(model) for model in task["models"]]
    predictor = load_predictor(task, folders, device)
    provider, frame_count = open_frames(task, parent)
    if not frame_count:
        raise RunnerError("INVALID_DATASET", f"{task['recording']} has none of the wanted frames.")
    parent.tell("stage", stage="predicting", message=f"Predicting {frame_count} frames on {device}")
    started = time.monotonic()
    frames = StoppableFrames(provider, task["recording"], parent)
    labels = predictor.predict(frames, progress_callback=make_reporter(parent, frame_count, device, started))
    duration_sec = time.monotonic() - started
    parent.tell("stage", stage="finalizing", message="Writing the predictions")
    labels.provenance = {key: labels.provenance.get(key) for key in ("sleap_nn_version", "sleap_io_version")}
    labels.save(task["output"], embed=False, verbose=False)
    forget_folders(task["output"])
    write_format(task, parent)
    parent.tell("done", frame_count=frames.frame_count, duration_sec=duration_sec, device=device)


def lay_out_model(model: Mapping[str, Any]) -> str:
    """Creates a model folder for sleap-nn with nothing but the weights of a received checkpoint.

    sleap-nn loads checkpoints by ``torch.load(weights_only=False)``, which runs what is in them. So what it
    gets is written here, from what ``weights_only=True`` lets through: tensors by name, and no more, since
    Lightning would act on other entries of a checkpoint too, such as its hyperparameters.
    """
    import lightning
    import torch
    from omegaconf import OmegaConf

    head = model["head"]
    try:
        loaded = torch.load(model["checkpoint"], map_location="cpu", weights_only=True)
        weights = {str(name): tensor.detach() for name, tensor in loaded["state_dict"].items()}
    except Exception as error:
        raise RunnerError(
            "INVALID_MODEL", f"The checkpoint of the {head} model isn't loaded ({reason_of(error)})."
        ) from error
    if not all(type(tensor) is torch.Tensor for tensor in weights.values()):
        raise RunnerError("INVALID_MODEL", f"The checkpoint of the {head} model holds more than weights.")
    folder = pathlib.Path(MODELS_FOLDER, head)
    folder.mkdir(parents=True)
    content = {"state_dict": weights, "pytorch-lightning_version": lightning.__version__}
    torch.save(content, folder / "best.ckpt")
    OmegaConf.save(verify_config(OmegaConf.create(model["config"])), folder / "training_config.yaml")
    return str(folder)


def load_predictor(task: Mapping[str, Any], folders: list[str], device: str) -> Any:
    """Has sleap-nn load the models."""
    from sleap_nn.inference.predictor import Predictor
    from sleap_nn.inference.tracking import TrackerConfig

    try:
        return Predictor.from_model_paths(
            folders,
            device=device,
            batch_size=task["batch_size"],
            peak_threshold=task["peak_threshold"],
            tracker_config=TrackerConfig() if task["tracking"] else None,
        )
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise RunnerError("INVALID_MODEL", f"sleap-nn can't load the models: {reason_of(error)}.") from error


def write_format(task: Mapping[str, Any], parent: Parent) -> None:
    """Writes the predictions in the wanted format beside the ``.slp``, which is sent if that fails."""
    kind = task.get("format", "slp")
    if kind == "slp":
        return
    source = pathlib.Path(task["output"])
    target = source.with_name(f"{source.stem}.{kind}")
    spec = importlib.util.spec_from_file_location("convert_predictions", task["converter"])
    assert spec is not None
    assert spec.loader is not None
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)
    try:
        converter.convert(source, target, kind)
    except Exception as error:
        traceback.print_exc()
        target.unlink(missing_ok=True)
        message = f"The predictions can't be written as .{kind}: {reason_of(error)}. They are sent as .slp."
        parent.tell("stage", stage="finalizing", message=message)


def open_frames(task: Mapping[str, Any], parent: Parent) -> tuple[Any, int]:
    """Opens the wanted frames; returns what provides them, and how many there are."""
    name, batch_size = task["recording"], task["batch_size"]
    ranges = None if task["frames"] is None else [range(first, last + 1) for first, last in task["frames"]]

    def chosen(count: int) -> list[int] | None:
        return None if ranges is None else those_there(ranges, count, name, parent)

    provider = (open_video if task["is_video"] else open_labels)(name, batch_size, chosen)
    return provider, provider.num_frames()


def those_there(ranges: list[range], count: int, name: str, parent: Parent) -> list[int]:
    """Returns the wanted frames that there are, and says so if some aren't there."""
    frames = among(ranges, count)
    last = max(wanted[-1] for wanted in ranges)
    if last >= count:
        sentence = f"{name} has {count} frames (0 to {count - 1}), and frame {last} was asked for."
        if not frames:
            raise RunnerError("INVALID_DATASET", sentence)
        parent.tell("stage", stage="preparing", message=f"{sentence} Predicting {len(frames)} of them")
    return frames


def open_video(name: str, batch_size: int, chosen: Callable[[int], list[int] | None]) -> Any:
    """Provides frames of a video."""
    import sleap_io
    from sleap_nn.inference.providers import VideoProvider

    with reading_frames(name):
        video = sleap_io.Video.from_filename(name)
        count = len(video)
        if not count:
            raise RunnerError("INVALID_DATASET", f"{name} has no frames that can be read.")
        video[0]
        return VideoProvider(video=video, batch_size=batch_size, frames=chosen(count))


def open_labels(name: str, batch_size: int, chosen: Callable[[int], list[int] | None]) -> Any:
    """Provides the labelled frames whose images are in the file; the labels themselves are ignored."""
    from sleap_nn.inference.providers import LabelsProvider

    labels = load_labels(name)
    with reading_frames(name):
        labels.labeled_frames = [
            frame for frame in labels.labeled_frames if frame.video.backend.has_frame(frame.frame_idx)
        ]
        return LabelsProvider(labels=labels, batch_size=batch_size, frames=chosen(len(labels.labeled_frames)))


@contextlib.contextmanager
def reading_frames(name: str) -> Iterator[None]:
    """Translates whatever decoding raises: a recording that breaks off is its sender's fault.

    A lack of memory is not.
    """
    try:
        yield
    except RunnerError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            raise
        raise RunnerError(
            "INVALID_DATASET", f"The frames of {name} can't be read ({reason_of(error)})."
        ) from error


def among(ranges: list[range], count: int) -> list[int]:
    """The numbers in the ranges that are below ``count``, in order and once each."""
    return sorted({number for wanted in ranges for number in wanted[: max(0, count - wanted.start)]})


class StoppableFrames:
    """Frames for sleap-nn, until the parent asks to stop."""

    def __init__(self, provider: Any, name: str, parent: Parent) -> None:
        self._provider = provider
        self._name = name
        self._parent = parent
        self.videos = provider.videos
        self.frame_count = 0

    def __iter__(self) -> Iterator[Any]:
        with reading_frames(self._name):
            for batch in self._provider:
                if self._parent.stop_requested.is_set():
                    return
                self.frame_count += len(batch.images)
                yield batch

    def __len__(self) -> int:
        return len(self._provider)

    def num_frames(self) -> int:
        """How many frames there are, unless it is stopped."""
        return int(self._provider.num_frames())


def make_reporter(
    parent: Parent, total_frames: int, device: str, started: float
) -> Callable[[int, int], None]:
    """Makes a callback that reports progress, often at first."""
    reported = started - REPORT_INTERVAL_SEC

    def report(frames_done: int, _total: int) -> None:
        nonlocal reported
        now = time.monotonic()
        interval_sec = REPORT_INTERVAL_SEC if now - started < 60 else LATER_REPORT_INTERVAL_SEC
        if now - reported < interval_sec and frames_done < total_frames:
            return
        reported = now
        parent.tell(
            "frames",
            frames_done=frames_done,
            total_frames=total_frames,
            frames_per_sec=frames_done / max(now - started, 1e-6),
            device=device,
        )

    return report


def forget_folders(path: str) -> None:
    """Reduces the videos' paths in a file to their names: the folders are this machine's."""
    import h5py

    with h5py.File(path, "r+") as file:
        videos = [json.loads(text) for text in file["videos_json"][:]]
        for video in videos:
            for part in (video, video.get("backend", {})):
                if isinstance(part.get("filename"), str):
                    part["filename"] = pathlib.Path(part["filename"]).name
        file["videos_json"][:] = [json.dumps(video, separators=(",", ":")).encode() for video in videos]
