"""Checks what a runner reports to have made: its files must exist and be usable."""

from __future__ import annotations

from pathlib import Path

from ....errors import InvalidDatasetError, TrainerError
from ....protocol.vocabulary import ErrorCode, PredictionFormat
from ...trainer import PredictionOutcome, TrainingOutcome
from ..intake.dataset import count_predicted_frames
from ..plan.prediction import PREDICTIONS_NAME
from ..plan.training import RUNS_FOLDER
from .events import PredictionDone, TrainingDone


def judge_training(done: TrainingDone, work_dir: Path) -> TrainingOutcome:
    """Checks that each model has a finite loss and its files.

    Raises:
        TrainerError: One of them is missing.
    """
    model_dirs = tuple(work_dir / RUNS_FOLDER / model.head for model in done.models)
    missing = [
        folder.name
        for folder in model_dirs
        if not all((folder / name).is_file() for name in ("best.ckpt", "training_config.yaml"))
    ]
    if missing or not done.models:
        raise TrainerError(f"Training left no usable model of {', '.join(missing) or 'any head'}.")
    last = done.models[-1]
    if last.best_loss is None or any(model.best_loss is None for model in done.models):
        raise TrainerError("Training ended without a finite loss.", error_code=ErrorCode.LOSS_NOT_FINITE)
    return TrainingOutcome(
        model_dirs=model_dirs,
        final_loss=last.best_loss,
        total_epochs=sum(model.epochs for model in done.models),
        duration_sec=done.duration_sec,
        device=last.device,
    )


async def judge_prediction(done: PredictionDone, work_dir: Path) -> PredictionOutcome:
    """Checks that the predictions can be opened and have all frames.

    Raises:
        TrainerError: They can't, or have not.
    """
    path = work_dir / PREDICTIONS_NAME
    try:
        frame_count = await count_predicted_frames(path)
    except InvalidDatasetError as error:
        raise TrainerError(
            "Prediction left no readable predictions.", error_code=ErrorCode.PREDICTION_FAILED
        ) from error
    if frame_count < done.frame_count or not frame_count:
        raise TrainerError(
            f"Only {frame_count} of {done.frame_count} frames are in the predictions.",
            error_code=ErrorCode.PREDICTION_FAILED,
        )
    others = (
        work_dir / f"{path.stem}{kind.suffix}" for kind in PredictionFormat if kind.suffix != path.suffix
    )
    converted = next((other for other in others if other.is_file()), path)
    return PredictionOutcome(converted, frame_count, done.duration_sec, done.device)
