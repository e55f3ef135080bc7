"""Writes predictions in another format than SLEAP's own.

It needs sleap-io and nothing else of this package: a client runs it as a file, by a Python that has
sleap-io, and a worker's runner loads it from its path. Run as a file, it prints one JSON object, in which
``error`` is a reason if it failed.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any


def convert(source: Path, target: Path, kind: str) -> None:
    """Writes predictions as sleap-io does.

    Args:
        source: The predictions, a ``.slp``.
        target: The file to write.
        kind: ``csv``, ``analysis.h5`` or ``nwb``.

    Raises:
        ValueError: These predictions can't be written so; the message is a reason.
        Exception: sleap-io can't do it.
    """
    import sleap_io

    labels: Any = sleap_io.load_slp(str(source), open_videos=False)
    if not any(len(frame) for frame in labels):
        raise ValueError("the model found no animal")
    if kind == "csv":
        sleap_io.save_csv(labels, str(target))
    elif kind == "nwb":
        sleap_io.save_nwb(labels, str(target))
    elif len(labels.videos) > 1:
        raise ValueError(f"such a file holds one video, and there are {len(labels.videos)}")
    else:
        sleap_io.save_analysis_h5(labels, str(target))


def main(arguments: list[str]) -> None:
    """Converts, and prints the outcome; what libraries print goes to standard error."""
    source, target, kind = arguments
    answer = {}
    with contextlib.redirect_stdout(sys.stderr):
        try:
            convert(Path(source), Path(target), kind)
        except Exception as error:
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(" .")
            answer = {"error": first_line}
    print(json.dumps(answer))


if __name__ == "__main__":
    # modules beside this file must not shadow installed ones
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).resolve().parent)]
    main(sys.argv[1:])
