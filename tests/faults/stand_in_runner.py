"""Replaces sleap-nn in the worker's runner: its "model" depends only on the dataset.

The rest of the runner is real: its messages to the worker, and how it ends with the worker.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sleaprtc.worker.sleap_nn.runner import tasks
from sleaprtc.worker.sleap_nn.runner.keeping import KeptModel, hold_folder
from sleaprtc.worker.sleap_nn.runner.parent import Parent

EPOCH_SEC = 0.2
SMALLEST_MODEL_BYTES = 100_000
LARGEST_MODEL_BYTES = 20_000_000


def model_bytes(dataset: Path) -> bytes:
    """Returns what training on these labels gives: 0.1 to 20 MB that depend on every byte of them."""
    digest = hashlib.sha256(dataset.read_bytes()).hexdigest()
    rng = random.Random(digest)
    # small models more often than large ones
    spread = (LARGEST_MODEL_BYTES - SMALLEST_MODEL_BYTES) * rng.random() ** 3
    return b"weights" + rng.randbytes(SMALLEST_MODEL_BYTES + int(spread))  # doesn't begin like a pickle


def probe(_task: Mapping[str, Any], parent: Parent) -> None:
    parent.tell("installed", versions={"sleap-nn": "0.3.5", "torch": "2.0"})
    parent.tell("device", device="cpu")


def train(task: Mapping[str, Any], parent: Parent) -> None:
    hold_folder()
    plan = task["models"][0]
    head, epochs = plan["head"], plan["config"]["trainer_config"]["max_epochs"]
    folder = Path("models") / head
    folder.mkdir(parents=True, exist_ok=True)
    kept = KeptModel(head, folder)
    (folder / "best.ckpt").write_bytes(model_bytes(Path(plan["labels"])))
    (folder / "training_config.yaml").write_text("{}\n")
    parent.tell("stage", stage="training", model=head, message="Training")
    epoch = len(kept.rows())
    while epoch < epochs:
        parent.stop_requested.wait(EPOCH_SEC)
        epoch += 1
        row = {
            "epoch": epoch,
            "total_epochs": epochs,
            "train_loss": 1 / epoch,
            "val_loss": 1 / epoch,
            "device": "cpu",
            "elapsed_sec": epoch * EPOCH_SEC,
        }
        kept.note_epoch(row)
        parent.tell("epoch", model=head, **row)
        if parent.stop_requested.is_set():
            break
    model = {"head": head, "best_loss": 1 / epoch, "epochs": epoch, "device": "cpu"}
    parent.tell("done", models=[model], duration_sec=time.process_time())


if __name__ == "__main__":
    tasks.COMMANDS.update(probe=probe, train=train)
    tasks.main(int(sys.argv[1]))
