"""What a model was validated on: frames that it wasn't trained on, or not."""

import collections
import pathlib
import time
import traceback
from typing import Any

from .pictures import origin_of

HELD_OUT, OWN_FILE, TRAINED_ON = "held_out", "file", "trained_on"


MAX_COMPARING_SEC = 30.0  # some thousand images


def describe_validation(directory: pathlib.Path, own_frames_shared: int | None) -> dict[str, Any]:
    """Returns the section ``validation`` of a report (docs/reference/report.md).

    Args:
        directory: The model's folder, in which sleap-nn has written both sets of labels.
        own_frames_shared: How many frames of validation labels of their own are trained on, too; None if
            there are no such labels.

    Raises:
        OSError: sleap-nn has written none.
    """
    train, val = (_frames(directory / f"labels_gt.{split}.0.slp") for split in ("train", "val"))
    counts = {"frames": len(val), "train_frames": len(train)}
    if own_frames_shared is None:
        return {"source": TRAINED_ON if val and val <= train else HELD_OUT, **counts}
    if own_frames_shared:
        counts["shared_frames"] = own_frames_shared
    return {"source": TRAINED_ON if val and own_frames_shared >= len(val) else OWN_FILE, **counts}


def count_shared_frames(train: Any, val: Any) -> int:
    """Returns how many labelled frames of ``val`` are in ``train``, too: the same number, and the same image.

    The files may name their videos in any way. Looks for half a minute at most.
    """
    deadline = time.monotonic() + MAX_COMPARING_SEC
    trained = collections.defaultdict(list)
    for frame in train.user_labeled_frames:
        trained[int(frame.frame_idx)].append(frame)
    shared = 0
    try:
        for frame in val.user_labeled_frames:
            if time.monotonic() > deadline:
                break
            shared += any(_same_image(frame, other) for other in trained[int(frame.frame_idx)])
    except Exception:  # what can't be read is refused elsewhere
        traceback.print_exc()
    return shared


def _same_image(one: Any, other: Any) -> bool:
    import numpy as np

    return bool(np.array_equal(one.image, other.image))


def _frames(path: pathlib.Path) -> set[tuple[Any, int]]:
    import sleap_io

    labels = sleap_io.load_slp(str(path), open_videos=False)
    return {
        (origin_of(frame.video), int(frame.frame_idx))
        for frame in labels
        if not getattr(frame, "is_negative", False)
    }


def warning(validation: dict[str, Any], *, is_asked_for: bool) -> str | None:
    """Returns a sentence if the numbers of a model say less than they seem to, or None.

    Args:
        validation: As returned by :func:`describe_validation`.
        is_asked_for: Whether the configuration says to validate on the frames that are trained on.
    """
    shared = validation.get("shared_frames", 0)
    if validation["source"] != TRAINED_ON:
        if not shared:
            return None
        return (
            f"{shared} of the {validation['frames']} validation frames are trained on, too: the errors on "
            "other frames are probably larger."
        )
    if shared:
        why = "since those are the frames of the validation labels"
    elif is_asked_for:
        why = "as its configuration says (use_same_data_for_val)"
    else:
        why = "since there were too few to hold any out"
    return (
        f"No validation: the model was measured on the frames it was trained on, {why}. Its errors say "
        "little about other frames."
    )
