"""What is in a dataset, read on the client before anything is sent."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from ..documents import parse_json, parse_yaml
from ..errors import InvalidDatasetError, InvalidTrainingConfigError
from ..protocol.jobs import DatasetInfo
from ..protocol.limits import MIB
from ..sentences import as_clause

MAX_CONFIG_BYTES: Final = MIB

_MODEL_TYPE_OF_HEAD: Final = {
    "single_instance": "base",
    "centroid": "centroid",
    "centered_instance": "topdown",
    "bottomup": "bottomup",
}


@attrs.frozen
class Dataset:
    """A dataset that can be sent.

    Attributes:
        path: The file.
        info: What workers are told of it.
        model_type: What its own configurations train, in the protocol's words, if it has any.
        configs: Its own configurations, as far as the client reads them.
        packed_from: What the person named, where ``path`` is a temporary package made of it.
    """

    path: Path
    info: DatasetInfo
    model_type: str | None = None
    packed_from: Path | None = None
    configs: tuple[dict[str, Any], ...] = ()

    @property
    def named(self) -> Path:
        """The file that the person named."""
        return self.packed_from or self.path


def read_dataset(path: Path) -> Dataset:
    """Looks into a ``.slp``, a ``.pkg.slp`` or a training job package (``.zip``).

    Raises:
        InvalidDatasetError: It isn't readable as one, has no labelled frames, or lacks its images.
        InvalidTrainingConfigError: A configuration in a training job package can't be read.
    """
    if not path.is_file():
        raise InvalidDatasetError(f"There is no file {path}.")
    if path.suffix == ".zip":
        return _read_package(path)
    return Dataset(path, _labels_info(path, "slp"))


def points_to_videos(path: Path) -> bool:
    """Whether a file is labels of which some images are in files of their own."""
    import h5py  # 0.1 s that only reading a dataset should cost

    if path.suffix != ".slp":
        return False
    try:
        with h5py.File(path, "r") as file:
            return not all(_is_embedded(parse_json(video)) for video in file["videos_json"][:])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return False  # reading it as a dataset says what is wrong


def model_type_of_configs(configs: list[dict[str, Any]]) -> str | None:
    """Says in the protocol's words what the configurations train together."""
    heads = {head for config in configs for head in heads_of(config)}
    if "centered_instance" in heads:
        return "topdown"
    return _MODEL_TYPE_OF_HEAD[min(heads)] if len(heads) == 1 else None


def read_config(path: Path) -> dict[str, Any] | None:
    """Reads a sleap-nn configuration; SLEAP's older JSON is left to the worker and comes out as None.

    Raises:
        InvalidTrainingConfigError: It can't be read, or isn't a configuration.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise InvalidTrainingConfigError(f"{path} is too large for a training configuration.")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidTrainingConfigError(f"{path} can't be read: {as_clause(error)}.") from error
    return _parse_config(path.name, content)


def _parse_config(name: str, content: bytes) -> dict[str, Any] | None:
    try:
        config = parse_json(content) if name.endswith(".json") else parse_yaml(content)
    except ValueError as error:
        where = getattr(error.__cause__, "problem_mark", None)
        at = f" (line {where.line + 1})" if where else ""
        raise InvalidTrainingConfigError(f"{name} is not readable as a configuration{at}.") from error
    if not isinstance(config, dict):
        raise InvalidTrainingConfigError(f"{name} is not a training configuration.")
    return None if name.endswith(".json") else config


def heads_of(config: dict[str, Any]) -> list[str]:
    """The heads of a configuration that workers know."""
    model = config.get("model_config")
    heads = model.get("head_configs") if isinstance(model, dict) else None
    if not isinstance(heads, dict):
        return []
    return [name for name, head in heads.items() if head is not None and name in _MODEL_TYPE_OF_HEAD]


def _size_mb(path: Path) -> float:
    return round(path.stat().st_size / MIB, 3)


def _labels_info(path: Path, kind: str) -> DatasetInfo:
    import h5py  # 0.1 s that only reading a dataset should cost

    try:
        with h5py.File(path, "r") as file:
            frame_count = len(file["frames"])
            metadata = parse_json(file["metadata"].attrs["json"])
            videos = [parse_json(video) for video in file["videos_json"][:]]
            megapixels = _frame_megapixels(file, videos)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InvalidDatasetError(f"{path.name} is not readable as SLEAP labels.") from error
    if frame_count == 0:
        raise InvalidDatasetError(f"{path.name} has no labelled frames.")
    if not all(_is_embedded(video) for video in videos):
        raise InvalidDatasetError(
            f"{path.name} points to videos on this machine, which a worker can't see. "
            "Save it with its images first: in SLEAP, File > Export Labels Package; "
            'in Python, labels.save("labels.pkg.slp", embed="user").'
        )
    return DatasetInfo(kind, frame_count, _skeleton_name(metadata), _size_mb(path), megapixels)


def _frame_megapixels(file: Any, videos: list[Any]) -> float | None:
    """The size of the first video's images, which nobody but an estimate needs."""
    try:
        attributes = file[videos[0]["backend"]["dataset"]].attrs
        pixels = int(attributes["height"]) * int(attributes["width"])
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        return None
    return pixels / 1e6 if pixels > 0 else None


def _is_embedded(video: Any) -> bool:
    backend = video.get("backend") if isinstance(video, dict) else None
    return isinstance(backend, dict) and backend.get("filename") == "."


def _skeleton_name(metadata: Any) -> str | None:
    try:
        name = metadata["skeletons"][0]["graph"]["name"]
    except (KeyError, IndexError, TypeError):
        return None
    return name if isinstance(name, str) else None


@contextmanager
def _open_package(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as package:
            yield package
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InvalidDatasetError(f"{path.name} is not a readable zip file.") from error


def _read_package(path: Path) -> Dataset:
    with _open_package(path) as package, tempfile.TemporaryDirectory() as folder:
        names = package.namelist()
        labels = [name for name in names if name.endswith(".slp")]
        if not labels:
            raise InvalidDatasetError(f"{path.name} is no training job package: it has no labels (.slp).")
        configs = [
            config
            for name in names
            if name.endswith((".yaml", ".yml")) and name != "jobs.yaml"
            if (config := _parse_config(name, package.read(name))) is not None
        ]
        info = _labels_info(Path(package.extract(labels[0], folder)), "zip")
    info = attrs.evolve(info, estimated_size_mb=_size_mb(path))
    return Dataset(path, info, model_type_of_configs(configs), configs=tuple(configs))
