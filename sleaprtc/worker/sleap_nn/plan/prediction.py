"""Decides what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ....errors import InvalidTrainingConfigError
from ....formats import convert_predictions
from ....formats.sleap_nn.allow_list import PREDICTION_VALUES
from ....formats.sleap_nn.configuration import check_values
from ....jobs.frames import parse_frames
from ....protocol.vocabulary import PredictionFormat
from ..intake.model_files import ReceivedModel
from ..intake.recordings import is_video

PREDICTIONS_NAME: Final = "predictions.slp"
CONVERTER: Final = Path(convert_predictions.__file__)
DEFAULT_BATCH_SIZE: Final = 4
DEFAULT_PEAK_THRESHOLD: Final = 0.2
"""sleap-nn's own."""


@attrs.frozen
class PredictionPlan:
    """One prediction, ready for the runner; all files are below the job's folder.

    Attributes:
        recording: File name of labels or video.
        is_video: Which of them.
        models: ``head``, ``checkpoint`` and ``config`` of each.
        frames: Ranges of frame numbers, first and last; of labels, places among the labelled frames.
        batch_size: Frames at once.
        peak_threshold: How sure a node must be, 0.0 to 1.0.
        tracking: Whether animals are followed from frame to frame.
        output: File name of the predictions.
        format: One of :class:`~sleaprtc.protocol.vocabulary.PredictionFormat`; they are written as ``slp``
            in any case, and in this format too.
        converter: The script that writes other formats.
    """

    recording: str
    is_video: bool
    models: tuple[Mapping[str, object], ...]
    frames: tuple[tuple[int, int], ...] | None
    batch_size: int = DEFAULT_BATCH_SIZE
    peak_threshold: float = DEFAULT_PEAK_THRESHOLD
    tracking: bool = False
    output: str = PREDICTIONS_NAME
    format: str = PredictionFormat.SLP
    converter: str = str(CONVERTER)


def plan_prediction(
    recording: str, models: Sequence[ReceivedModel], requested: Mapping[str, object]
) -> PredictionPlan:
    """Plans a prediction.

    Args:
        recording: Its name in the job's folder.
        models: Those that came with the job.
        requested: The request's ``config``, unchecked.

    Raises:
        InvalidTrainingConfigError: The request asks for something impossible.
    """
    wishes = check_values(requested, PREDICTION_VALUES)
    return PredictionPlan(
        recording=recording,
        is_video=is_video(recording),
        models=tuple(
            {"head": model.head, "checkpoint": str(model.checkpoint), "config": model.config}
            for model in models
        ),
        frames=_frames(wishes.pop("frames", None)),
        **wishes,
    )


def _frames(text: str | None) -> tuple[tuple[int, int], ...] | None:
    if text is None:
        return None
    try:
        return tuple((frames[0], frames[-1]) for frames in parse_frames(text))
    except ValueError as error:
        raise InvalidTrainingConfigError(str(error)) from error
