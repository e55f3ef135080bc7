"""Judges this machine by what :mod:`.measure_machine` has measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ..base.sentences import as_clause
from ..protocol.limits import MIB
from .findings import Finding, failed, ok, warning

OLDEST_PYTHON: Final = (3, 11)
NEWEST_TESTED_PYTHON: Final = (3, 13)

GIB: Final = 2**30
LEAST_FREE_BYTES: Final = 1 * GIB
"""A small dataset with its model, and the checkpoints in between."""

COMFORTABLE_FREE_BYTES: Final = 10 * GIB
"""What the cache of datasets may take by default (``--cache-size-mb``)."""

FAST_ENGINE: Final = "wrtc"
"""The distribution of the engine ``libwebrtc``."""


def judge_python(version: tuple[int, int, int], executable: str) -> Finding:
    """Judges whether the package runs on this Python."""
    text = ".".join(map(str, version))
    facts = {"python_version": text, "executable": executable}
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if version[:2] < OLDEST_PYTHON:
        sentence = f"Python {text} is too old: {oldest} or later is needed."
        remedy = f"Install sleap-rtc into an environment of Python {oldest} or later."
        return failed("python", sentence, remedy, **facts)
    if version[:2] > NEWEST_TESTED_PYTHON:
        newest = ".".join(map(str, NEWEST_TESTED_PYTHON))
        sentence = f"Python {text} is later than {newest}, the last one that sleap-rtc is tested with."
        return warning("python", sentence, f"If anything is odd, use Python {newest}.", **facts)
    return ok("python", f"Python {text} ({executable}).", **facts)


# --- packages -------------------------------------------------------------------------------


@attrs.frozen
class Package:
    """A distribution that sleap-rtc needs.

    Attributes:
        name: Its name on PyPI.
        least: The oldest version that will do, or None where any will.
        installed: The version that is there, or None.
        problem: Why it can't be imported, or None.
    """

    name: str
    least: str | None
    installed: str | None
    problem: str | None = None


_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9][0-9A-Za-z.]*))?\s*(;.*)?")


def parse_requirement(text: str) -> tuple[str, str | None] | None:
    """Parses ``name>=version``, the only form of this package's own requirements.

    Returns:
        Name and oldest version; None for a requirement of an extra.
    """
    found = _REQUIREMENT.match(text)
    if found is None or (found[3] and "extra" in found[3]):
        return None
    return found[1], found[2]


def release(version: str) -> tuple[int, ...]:
    """Returns the numbers that a version begins with: (1, 26, 0) of ``1.26.0rc1``."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def judge_packages(own_version: str, packages: Sequence[Package], reinstall: str) -> Finding:
    """Judges whether everything that sleap-rtc needs is installed; the command ``reinstall`` fixes it."""
    missing = [package.name for package in packages if package.installed is None]
    old = [
        f"{package.name} {package.installed} (needed: {package.least})"
        for package in packages
        if package.installed and package.least and release(package.installed) < release(package.least)
    ]
    broken = [f"{package.name} ({as_clause(package.problem)})" for package in packages if package.problem]
    facts = {
        "sleap_rtc_version": own_version,
        "versions": {package.name: package.installed for package in packages},
        "missing": missing,
        "incompatible": old,
        "broken": broken,
    }
    faults = [
        *([f"missing: {', '.join(missing)}"] if missing else []),
        *([f"too old: {', '.join(old)}"] if old else []),
        *([f"can't be imported: {', '.join(broken)}"] if broken else []),
    ]
    if faults:
        sentence = f"sleap-rtc {own_version} lacks packages; {'; '.join(faults)}."
        return failed("packages", sentence, reinstall, **facts)
    return ok("packages", f"sleap-rtc {own_version} with all {len(packages)} packages it needs.", **facts)


def judge_engines(
    fast_version: str | None, fast_problem: str | None, has_wheels: bool, install: str
) -> Finding:
    """Judges which WebRTC engines there are.

    Args:
        fast_version: Of the distribution ``wrtc``, or None.
        fast_problem: Why it can't be loaded, or None.
        has_wheels: Whether there is one for this system.
        install: The command that installs it.
    """
    names = ["aiortc"] if fast_version is None or fast_problem else ["libwebrtc", "aiortc"]
    facts = {"engines": names, "wrtc_version": fast_version}
    if fast_problem:
        sentence = (
            f"The fast WebRTC engine can't be loaded ({as_clause(fast_problem)}): aiortc carries the data."
        )
        return warning("engines", sentence, f"{install} --force-reinstall", **facts)
    if fast_version is not None:
        return ok("engines", f"The fast WebRTC engine is there (libwebrtc, wrtc {fast_version}).", **facts)
    if not has_wheels:
        return ok(
            "engines", "aiortc carries the data; the fast engine isn't available for this system.", **facts
        )
    sentence = (
        "The fast WebRTC engine isn't installed: aiortc carries the data, at about a third of the rate."
    )
    return warning("engines", sentence, install, **facts)


# --- disk -----------------------------------------------------------------------------------


@attrs.frozen
class FolderState:
    """A folder that sleap-rtc writes to.

    Attributes:
        purpose: What for, in a word or two.
        path: Where.
        problem: Why nothing can be written there, or None.
        free_bytes: What is free for this user, where known.
        option: What names another folder.
    """

    purpose: str
    path: str
    problem: str | None
    free_bytes: int | None
    option: str


def judge_disk(folders: Sequence[FolderState]) -> Finding:
    """Judges whether jobs and their datasets can be stored."""
    facts: Mapping[str, object] = {
        "folders": [
            {
                "purpose": folder.purpose,
                "path": folder.path,
                "free_mb": None if folder.free_bytes is None else folder.free_bytes // MIB,
                "problem": folder.problem,
            }
            for folder in folders
        ]
    }
    for folder in folders:
        if folder.problem is not None:
            sentence = (
                f"Nothing can be written to the {folder.purpose} {folder.path}: {as_clause(folder.problem)}."
            )
            remedy = f"Give this user the folder, or name another one with {folder.option}."
            return failed("disk", sentence, remedy, **facts)
    known = [(folder.free_bytes, folder) for folder in folders if folder.free_bytes is not None]
    if not known:
        return ok("disk", "The folders can be written to.", **facts)
    free_bytes, tightest = min(known, key=lambda item: item[0])
    free = f"{free_bytes / GIB:.1f} GiB are free in the {tightest.purpose} {tightest.path}"
    remedy = f"Free some, or name another folder with {tightest.option}; --cache-size-mb 0 keeps no datasets."
    if free_bytes < LEAST_FREE_BYTES:
        return failed("disk", f"Only {free}: too little for a job.", remedy, **facts)
    if free_bytes < COMFORTABLE_FREE_BYTES:
        return warning("disk", f"Only {free}.", remedy, **facts)
    return ok("disk", f"{free}.", **facts)
