"""Packs labels with the images that they point to.

Run as a file, by a Python that has sleap-io, it needs nothing else of this package. It prints one JSON
object: ``{"frames": N}``, or ``{"error": SENTENCE}``.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any


def find_videos(labels: Any, folder: Path) -> list[str]:
    """Finds videos that were moved together with their labels; returns the names of those not found."""
    missing = []
    for video in labels.videos:
        if video.exists():
            continue
        beside = folder / Path(str(video.filename).replace("\\", "/")).name
        if isinstance(video.filename, str) and beside.is_file():
            video.replace_filename(str(beside))
        else:
            missing.append(str(video.filename)[:200])
    return missing


def pack(source: Path, target: Path, embed: str) -> dict[str, object]:
    """Writes the package.

    Args:
        source: Labels that point to videos.
        target: Where the package goes.
        embed: Which frames get their images: ``user`` for those that a person labelled, or ``all``.
    """
    import sleap_io

    labels = sleap_io.load_slp(str(source))
    missing = find_videos(labels, source.parent)
    if missing:
        return {"error": f"The video {missing[0]} isn't there, nor beside {source.name}."}
    frames = labels.user_labeled_frames if embed == "user" else labels.labeled_frames
    if not frames:
        return {"error": f"{source.name} has no frame labelled by a person: there's nothing to send."}
    labels.save(str(target), embed=embed, verbose=False)
    return {"frames": len(frames)}


def main(arguments: list[str]) -> None:
    """Packs, and prints the outcome; what libraries print goes to standard error."""
    source, target, embed = arguments
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = pack(Path(source), Path(target), embed)
        except Exception as error:
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(" .")
            answer = {"error": f"{Path(source).name} can't be packed with its images ({first_line})."}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
