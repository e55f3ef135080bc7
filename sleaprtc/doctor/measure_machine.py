"""Inspects this machine: Python, packages, folders."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from .._version import __version__
from ..base.distribution import NAME, install_command
from ..base.private_files import openness
from . import machine
from .findings import Finding

_COMPILED: Final = ("blake3", "h5py", "aiortc")
"""Packages with compiled parts, which may be installed and still not work."""


def check_python() -> Finding:
    """Inspects the running Python."""
    return machine.judge_python(sys.version_info[:3], sys.executable)


def check_packages() -> Finding:
    """Looks up everything that this package's own metadata requires."""
    try:
        requirements = importlib.metadata.requires(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []  # run from a source tree: what is imported is there
    named = [found for text in requirements if (found := machine.parse_requirement(text)) is not None]
    packages = [machine.Package(name, least, _version_of(name), _problem_of(name)) for name, least in named]
    return machine.judge_packages(
        __version__, packages, install_command(None, "--upgrade", "--force-reinstall")
    )


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _problem_of(name: str) -> str | None:
    if name not in _COMPILED or _version_of(name) is None:
        return None
    return _import_problem(name)


def _import_problem(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # a library of another system or build fails in ways of its own
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
    return None


def check_engines() -> Finding:
    """Loads the fast engine, if it is installed."""
    version = _version_of(machine.FAST_ENGINE)
    problem = None if version is None else _import_problem("sleaprtc.rtc.engines.libwebrtc_engine")
    is_linux = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
    has_wheels = is_linux or sys.platform == "darwin"
    return machine.judge_engines(version, problem, has_wheels, install_command("fast"))


def check_disk(work_dir: Path, state_dir: Path) -> Finding:
    """Tries to write where workers and clients write, and checks how much room there is."""
    return machine.judge_disk(
        [
            _look_at_folder("work folder", work_dir, "--work-dir (SLEAP_RTC_WORK_DIR)"),
            _look_at_folder("state folder", state_dir, "SLEAP_RTC_STATE_DIR"),
        ]
    )


def _look_at_folder(purpose: str, path: Path, option: str) -> machine.FolderState:
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    open_to_others = openness(path)
    problem = None if open_to_others is None else f"it {open_to_others}"
    free_bytes: int | None = None
    try:
        free_bytes = shutil.disk_usage(existing).free
        with tempfile.NamedTemporaryFile(prefix=".sleap-rtc-doctor-", dir=existing) as file:
            file.write(b"x" * 4096)  # a full disk takes the name and not the content
            file.flush()
    except OSError as error:
        problem = error.strerror or str(error)
    return machine.FolderState(purpose, str(path), problem, free_bytes, option)
