"""What is installed here, and what it makes of older configurations."""

import contextlib
import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Any

from .parent import Parent, RunnerError, reason_of


def probe(task: Mapping[str, Any], parent: Parent) -> None:
    """Reports which packages are installed and, once torch is imported, what it can compute on."""
    versions = {}
    for package in ("sleap-nn", "sleap-io", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    parent.tell("installed", versions=versions, python=sys.version.split()[0])
    if "torch" in versions:
        parent.tell("device", device=available_device(), torch_cuda=built_for_cuda())


def built_for_cuda() -> str | None:
    """The CUDA or ROCm version that the installed torch is built for; None where it's for the CPU."""
    import torch

    built_for: str | None = torch.version.cuda or getattr(torch.version, "hip", None)
    return built_for


def available_device() -> str:
    """The best kind of device that the installed torch can use."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def import_torchvision() -> None:
    """Imports torchvision, with the operators it expects where its build lacks them.

    PyPI's torchvision beside a CPU build of torch fails to import because its compiled operators
    aren't there. Training never calls them; that they are declared is enough.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        importlib.import_module("torchvision")


_declared_operators: list[Any] = []  # the declarations last as long as their library object


def _declare_torchvision_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared_operators.append(library)


def convert(task: Mapping[str, Any], parent: Parent) -> None:
    """Turns SLEAP's JSON profiles (up to 1.4) into sleap-nn configurations."""
    from omegaconf import OmegaConf
    from sleap_nn.config.training_job_config import TrainingJobConfig

    converted = []
    for profile in task["profiles"]:
        try:
            config = TrainingJobConfig.load_sleap_config_from_json(profile["document"])
        except Exception as error:
            name = profile["name"]
            raise RunnerError(
                "INVALID_CONFIG", f"{name} can't be converted for sleap-nn ({reason_of(error)})."
            ) from error
        converted.append(OmegaConf.to_container(config, resolve=False))
    parent.tell("converted", configs=converted)
