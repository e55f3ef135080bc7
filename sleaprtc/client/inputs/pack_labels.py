"""Packs labels with the images that they point to.

Run as a file, by a Python that has sleap-io, it needs nothing else of this package. It reads one JSON list
from standard input: for each video of the labels, ``files`` where it is (null: where the labels name it),
and ``fault``, a sentence on why it can't be used, or null. It prints one JSON object: ``frames``, their
number, and ``unused``, the faults of videos that aren't needed; or ``error``, a sentence.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

COUNT_SLACK = 2
COUNT_SLACK_SHARE = 0.01
"""Readers of videos don't agree on the exact number of frames: some estimate it from the duration."""


def pack(source: Path, target: Path, embed: str, places: list[dict[str, Any]]) -> dict[str, object]:
    """Writes the package.

    Args:
        source: Labels that point to videos.
        target: Where the package goes.
        embed: Which frames get their images: ``user`` for those that a person labelled, or ``all``.
        places: Where the videos are.
    """
    import sleap_io

    # sleap-io looks for videos beside the labels by itself, and takes one file for several of them.
    labels = sleap_io.load_slp(str(source), open_videos=False)
    frames = labels.user_labeled_frames if embed == "user" else labels.labeled_frames
    if not frames:
        return {"error": f"{source.name} has no frame labelled by a person: there's nothing to send."}
    last_frames: dict[int, int] = {}
    for frame in frames:
        last_frames[id(frame.video)] = max(frame.frame_idx, last_frames.get(id(frame.video), 0))
    unused = []
    for video, place in zip(labels.videos, places):  # noqa: B905 - older Pythons run this, too
        is_used = id(video) in last_frames
        fault = place["fault"]
        if fault is None and is_used:
            fault = open_video(video, place["files"], last_frames[id(video)])
        if fault is not None and is_used:
            return {"error": fault}
        if fault is not None:
            unused.append(fault)
        if video.shape is None:  # a package states one for each video, also for those without images
            video.backend_metadata["shape"] = (1, 1, 1, 1)
    wanted = [(frame.video, frame.frame_idx) for frame in frames]
    labels.save(str(target), embed=wanted, verbose=False)
    return {"frames": len(frames), "unused": unused}


def open_video(video: Any, files: list[str] | None, last_frame: int) -> str | None:
    """Opens a video where it is; returns a sentence if that contradicts the labels.

    Args:
        video: A video of the labels.
        files: Where it is, or None for where the labels name it.
        last_frame: The number of the last frame that is needed of it.
    """
    metadata = dict(video.backend_metadata)
    if files is not None:
        video.replace_filename(files if isinstance(video.filename, list) else files[0], open=False)
        video.backend_metadata.update(
            {key: metadata[key] for key in ("shape", "grayscale", "fps") if key in metadata}
        )
    video.open_backend = True
    video.open()
    if getattr(video.backend, "has_embedded_images", False):
        return None
    name = video.filename[0] if isinstance(video.filename, list) else video.filename
    return contradiction(str(name), metadata.get("shape"), tuple(video.backend.shape), last_frame)


def contradiction(name: str, stated: Any, found: tuple[int, ...], last_frame: int) -> str | None:
    """Returns a sentence if a file can't be the video that labels describe.

    Args:
        name: The file.
        stated: Frames, height, width and channels as the labels have them, as far as they do.
        found: The same of the file.
        last_frame: The number of the last frame that is needed.
    """
    frame_count, size = found[0], tuple(found[1:3])
    if last_frame >= frame_count:
        return (
            f"{name} has {frame_count} frames, and the labels are about frame {last_frame} (from 0): "
            "it is another video, or a part of it is missing."
        )
    if not stated or len(stated) != len(found) or not all(stated):
        return None
    if tuple(stated[1:3]) != size:
        return (
            f"{name} has images of {size[1]} x {size[0]} pixels, and the labels are about a video of "
            f"{stated[2]} x {stated[1]}: it is another video."
        )
    if abs(stated[0] - frame_count) > max(COUNT_SLACK, COUNT_SLACK_SHARE * stated[0]):
        return (
            f"{name} has {frame_count} frames, and the labels are about a video of {stated[0]}: "
            "it is another video, or a part of it is missing."
        )
    return None


def main(arguments: list[str]) -> None:
    """Packs, and prints the outcome; what libraries print goes to standard error."""
    source, target, embed = arguments
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = pack(Path(source), Path(target), embed, json.load(sys.stdin))
        except Exception as error:
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(" .")
            answer = {"error": f"{Path(source).name} can't be packed with its images ({first_line})."}
    print(json.dumps(answer))


if __name__ == "__main__":
    # modules beside this file must not shadow installed ones
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).resolve().parent)]
    main(sys.argv[1:])
