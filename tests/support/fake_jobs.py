"""Trainings by a runner that trains nothing, and behaves as a job's number of epochs says."""

from __future__ import annotations

import os
from pathlib import Path

from sleaprtc.worker.trainer import TrainingJob

from ..worker.sleap_nn.slp_files import write_slp

FAKE_RUNNER = Path(__file__).parents[1] / "worker" / "sleap_nn" / "fake_runner.py"

WELL, UNTIL_STOPPED, STUBBORN, SILENT, NO_CHECKPOINT, NO_LOSS, KILLED, CRASHED, RAISED = range(1, 10)
OUT_OF_MEMORY, ODD_LABELS, ODD_CONFIG, NONSENSE, DIVERGED, CHILD_LEFT = range(10, 16)


def job_for(tmp_path: Path, behaviour: int) -> TrainingJob:
    work_dir = tmp_path / "job"
    work_dir.mkdir()
    labels = write_slp(tmp_path / "flies.pkg.slp")
    return TrainingJob(labels, (), {"model_type": "base", "epochs": behaviour}, work_dir, thread_count=3)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(zombie)" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc/self").exists() else True


def pids(job: TrainingJob) -> list[int]:
    return [int(file.read_text()) for file in job.work_dir.glob("*.pid")]
