"""Replaces sleap-nn in the runner of :mod:`benchmarks.path_worker`: the model is as large as the dataset.

A job then moves the same bytes in both directions.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sleaprtc.worker.sleap_nn.runner import tasks

# The worker runs this file as a script, far from the project's folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))
import stand_in_runner

FIRST_BYTES = b"weights"


def model_as_large_as(dataset: Path) -> bytes:
    """Returns the dataset's bytes after a begin that isn't a pickle's."""
    return FIRST_BYTES + dataset.read_bytes()[len(FIRST_BYTES) :]


if __name__ == "__main__":
    stand_in_runner.model_bytes = model_as_large_as
    tasks.COMMANDS.update(probe=stand_in_runner.probe, train=stand_in_runner.train)
    tasks.main(int(sys.argv[1]))
