"""What a model was validated on: frames that it wasn't trained on, or not."""

import pathlib
from typing import Any

from .pictures import origin_of

HELD_OUT, OWN_FILE, TRAINED_ON = "held_out", "file", "trained_on"


def describe_validation(directory: pathlib.Path, *, has_own_labels: bool) -> dict[str, Any]:
    """Returns the section ``validation`` of a report (docs/reference/report.md).

    Args:
        directory: The model's folder, in which sleap-nn has written both sets of labels.
        has_own_labels: Whether the validation set came as a file of its own.

    Raises:
        OSError: sleap-nn has written none.
    """
    train, val = (_frames(directory / f"labels_gt.{split}.0.slp") for split in ("train", "val"))
    source = OWN_FILE if has_own_labels else HELD_OUT
    if val and val <= train:
        source = TRAINED_ON
    return {"source": source, "frames": len(val), "train_frames": len(train)}


def _frames(path: pathlib.Path) -> set[tuple[Any, int]]:
    import sleap_io

    labels = sleap_io.load_slp(str(path), open_videos=False)
    return {
        (origin_of(frame.video), int(frame.frame_idx))
        for frame in labels
        if not getattr(frame, "is_negative", False)
    }


def warning(validation: dict[str, Any], *, is_asked_for: bool) -> str | None:
    """Returns a sentence if the numbers of a model say little, or None.

    Args:
        validation: As returned by :func:`describe_validation`.
        is_asked_for: Whether the configuration says to validate on the frames that are trained on.
    """
    if validation["source"] != TRAINED_ON:
        return None
    why = (
        "as its configuration says (use_same_data_for_val)"
        if is_asked_for
        else "since there were too few to hold any out"
    )
    return (
        f"No validation: the model was measured on the frames it was trained on, {why}. Its errors say "
        "little about other frames."
    )
