"""Finds the videos that labels name, on this machine.

Labels keep the paths that their videos had where they were made, which may be another machine. A file is
used for such a video if it is where the labels name it, or below their folder under the end of that path, as
files are that were moved together. A file that could be either of two videos is used for neither.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final, TypeAlias

import attrs

from .video_containers import fault_of_container

MAX_SHOWN_CHARS: Final = 200
EMBEDDED: Final = "."
"""The file name of a video whose images are in the labels' own file."""

Names: TypeAlias = tuple[str, ...]
"""The file that labels name for a video, or the images of a list."""


@attrs.frozen
class FoundVideo:
    """What was found of a video that labels name.

    Attributes:
        names: As the labels have them.
        files: Where they are on this machine, in the same order; None if that isn't clear.
        fault: One sentence on why they aren't used, or None.
    """

    names: Names
    files: Names | None
    fault: str | None = None


def names_of(video: Mapping[str, Any]) -> Names | None:
    """Returns the files that a description from ``videos_json`` names; None if its images are embedded.

    Raises:
        ValueError: It names none.
    """
    backend = video.get("backend", {})
    named = backend.get("filenames") or backend.get("filename") or video.get("filename")
    names = tuple(named) if isinstance(named, list) else (named,)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("a video has no file name")
    return None if names == (EMBEDDED,) else names


def find_videos(videos: Sequence[Names], labels: Path) -> list[FoundVideo]:
    """Finds each of the videos that labels name.

    Args:
        videos: What the labels name, in their order.
        labels: The labels; files are looked for below their folder.

    Returns:
        What was found, in the same order.
    """
    search = _Search(labels)
    wanted = dict.fromkeys(videos)  # a video that is listed twice is one video
    for names in wanted:
        search.find_as_named(names)
    for part_count in range(max((len(_parts(names[0])) for names in wanted), default=0), 0, -1):
        search.find_by_end(wanted, part_count)
    return [search.result(names) for names in videos]


def expected_files(names: Names, labels: Path) -> Names:
    """Returns where a video that isn't there should be: relative paths begin at the labels' folder."""
    folder = labels.absolute().parent
    return tuple(name if _is_absolute(name) else str(folder.joinpath(*_parts(name))) for name in names)


class _Search:
    def __init__(self, labels: Path) -> None:
        self._labels = labels
        self._folder = labels.absolute().parent
        self._files: dict[Names, Names] = {}
        self._faults: dict[Names, str] = {}

    def find_as_named(self, names: Names) -> None:
        """Finds a video where the labels name it; a relative path may also begin where this process runs."""
        for start in () if _is_absolute(names[0]) else (self._folder, Path.cwd()):
            files = tuple(str(start.joinpath(*_parts(name))) for name in names)
            if Path(files[0]).is_file():
                self._files[names] = files
                return
        is_there = _is_address(names[0]) or (Path(names[0]).is_absolute() and Path(names[0]).exists())
        if is_there:  # which may also be a folder of images
            self._files[names] = names

    def find_by_end(self, wanted: Iterable[Names], part_count: int) -> None:
        """Finds videos below the labels' folder, by that many last parts of their paths."""
        claims: dict[str, list[Names]] = {}
        candidates = dict(self._candidates(wanted, part_count))
        for names, files in candidates.items():
            for file in files:
                claims.setdefault(file, []).append(names)
        for names, files in candidates.items():
            rivals = {rival: file for file in files for rival in claims[file] if rival != names}
            rivals |= dict(self._owners(files))
            if rivals:
                rival, file = next(iter(rivals.items()))
                self._faults[names] = self._unclear(names, rival, file)
            else:
                self._files[names] = files

    def _candidates(self, wanted: Iterable[Names], part_count: int) -> Iterator[tuple[Names, Names]]:
        for names in wanted:
            if names in self._files or names in self._faults:
                continue
            files = tuple(str(self._folder.joinpath(*_parts(name)[-part_count:])) for name in names)
            if all(Path(file).is_file() for file in files) and len(set(files)) == len(set(names)):
                yield names, files

    def _owners(self, files: Names) -> Iterator[tuple[Names, str]]:
        """Yields the videos that were found already in one of the files, or in a copy of it."""
        for names, owned in self._files.items():
            for file in files:
                if _is_same(file, owned[0]):
                    yield names, file

    def _unclear(self, names: Names, rival: Names, file: str) -> str:
        apart = sorted({"/".join(_parts(name)[-2:]) for name in (names[0], rival[0])})
        hint = f", such as {' and '.join(apart)}" if len(apart) == 2 else ""
        return (
            f"{self._labels.name} names two videos that {file} could be: {_shown(names)} and "
            f"{_shown(rival)}. Put each where it is named, or in its own folder beside "
            f"{self._labels.name}{hint}."
        )

    def result(self, names: Names) -> FoundVideo:
        """Returns what was found of a video."""
        files = self._files.get(names)
        if files is None:
            missing = f"The video {_shown(names)} isn't there, nor beside {self._labels.name}."
            return FoundVideo(names, None, self._faults.get(names, missing))
        is_file = not _is_address(files[0]) and Path(files[0]).is_file()
        fault = fault_of_container(Path(files[0])) if is_file else None
        return FoundVideo(names, files, None if fault is None else f"{files[0]} {fault}")


def _is_same(file: str, other: str) -> bool:
    """Whether two paths lead to one file, or to files with one content."""
    try:
        return Path(file).samefile(other) or filecmp.cmp(file, other, shallow=False)
    except OSError:
        return False


def _is_address(name: str) -> bool:
    return "://" in name


def _is_absolute(name: str) -> bool:
    is_path = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()
    return is_path or _is_address(name)


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path without its root, in whichever system's manner it is written."""
    is_posix = name.startswith("/") or "\\" not in name
    path: PurePath = PurePosixPath(name) if is_posix and name[1:2] != ":" else PureWindowsPath(name)
    parts = path.parts[1:] if path.anchor else path.parts
    return tuple(part for part in parts if part != "..") or (name,)


def _shown(names: Names) -> str:
    shown = names[0][:MAX_SHOWN_CHARS]
    return shown if len(names) == 1 else f"of {len(names)} images ({shown} and others)"
