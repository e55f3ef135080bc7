"""Trainings with sleap-nn itself, at smoke size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio
import yaml

import sleaprtc.demo.flies
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer
from sleaprtc.worker.trainer import TrainingEvent, TrainingJob, TrainingOutcome

PYTHON = Path(os.environ.get("SLEAP_RTC_TRAINER_PYTHON") or sys.executable)
SMALL = {
    "data_config": {"preprocessing": {"scale": 0.5}},
    "trainer_config": {"min_train_steps_per_epoch": 5, "train_steps_per_epoch": 5},
}


def job_for(
    tmp_path: Path, labels: Path, requested: dict[str, Any], *heads: str, **changed: Any
) -> TrainingJob:
    work_dir = tmp_path / "job"
    work_dir.mkdir()
    configs = []
    for head in heads:
        config = {**SMALL, "model_config": model_config(head), **changed}
        configs.append(tmp_path / f"{head}.yaml")
        configs[-1].write_text(yaml.safe_dump(config))
    return TrainingJob(labels, tuple(configs), {"epochs": 2, **requested}, work_dir)


SMALL_CONFIG = """\
model_config:
  backbone_config: {unet: {filters: 4, filters_rate: 1.5}}
  head_configs: {single_instance: {confmaps: {sigma: 2.5, output_stride: 2}}}
trainer_config: {min_train_steps_per_epoch: 5, train_steps_per_epoch: 5}
"""
"""A configuration that is small enough for a smoke test."""


def make_flies(folder: Path) -> Path:
    """Makes a package of 16 frames with one fly, and returns it."""
    command = [PYTHON, sleaprtc.demo.flies.__file__, folder]
    options = ["--flies", "1", "--frames", "16", "--held-out", "2"]
    made = subprocess.run([*command, *options], capture_output=True, check=True, timeout=120)
    return Path(json.loads(made.stdout)["training"])


def model_config(head: str) -> dict[str, Any]:
    parts: dict[str, Any] = {"confmaps": {"sigma": 2.5, "output_stride": 2}}
    if head == "bottomup":
        parts["pafs"] = {"sigma": 15.0, "output_stride": 4}
    return {"backbone_config": {"unet": {"filters": 4, "filters_rate": 1.5}}, "head_configs": {head: parts}}


async def train(
    job: TrainingJob, events: list[TrainingEvent] | None = None, stop: trio.Event | None = None
) -> TrainingOutcome:
    return await SleapNNTrainer(PYTHON).train(
        job,
        report=([] if events is None else events).append,
        stop=trio.Event() if stop is None else stop,
    )
