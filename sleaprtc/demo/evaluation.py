"""Evaluates trained models on labelled frames that they haven't seen, and draws their predictions.

It runs as a script, by the Python in which sleap-nn is installed, and imports nothing else of this package.
It prints one JSON object, the fields of :class:`Evaluation`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Points = npt.NDArray[np.float64]
    """Instances x nodes x (x, y), in pixels; NaN where a node isn't visible."""

PICTURE_FRAMES: Final = 3
NODE_COLORS: Final = ("tab:red", "tab:orange", "tab:blue", "tab:green", "tab:purple")


@dataclass(frozen=True)
class Evaluation:
    """How far predictions are from the truth.

    Attributes:
        error_px: Mean distance between a true node and its prediction, over the nodes that were found.
        true_nodes: The number of labelled nodes in all frames.
        found_nodes: The number of those that have a prediction.
        extra_instances: The number of predicted instances beyond the labelled ones.
        frames: The number of labelled frames.
        predictions: The path of the ``.slp`` file with the predictions.
        picture: The path of a PNG of some of the frames, with labels and predictions.
    """

    error_px: float
    true_nodes: int
    found_nodes: int
    extra_instances: int
    frames: int
    predictions: str
    picture: str


def define_missing_torchvision_operators() -> Any:
    """Makes torchvision importable with a torch that it wasn't built for.

    The import fails if torchvision's compiled operators are missing (``operator torchvision::nms does not
    exist``). Prediction doesn't call them, so defining their names is enough.

    Returns:
        An object that must stay referenced while the names are needed, or None if torchvision works.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        return library
    return None


def predict(labels: Path, models: list[Path], output: Path) -> None:
    """Runs ``sleap-nn predict`` on every frame of a package."""
    from sleap_nn.cli import cli

    arguments = ["predict", "-i", str(labels), "-o", str(output)]
    for model in models:
        arguments += ["-m", str(model)]
    cli.main(args=arguments, standalone_mode=False)


def points_by_frame(labels: Any) -> dict[int, Points]:
    """Returns the instances of each labelled frame."""
    import numpy as np

    return {
        frame.frame_idx: np.array([instance.numpy() for instance in frame.instances], dtype=float)
        for frame in labels
        if len(frame.instances)
    }


def matched(truth: Points, predicted: Points) -> list[tuple[int, int]]:
    """Pairs true with predicted instances so that the sum of their mean node distances is minimal."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    distances = np.linalg.norm(truth[:, None] - predicted[None, :], axis=-1)
    visible = np.isfinite(distances)
    mean = np.where(visible, distances, 0.0).sum(-1) / np.maximum(visible.sum(-1), 1)
    cost = np.where(visible.any(-1), mean, 1e6)
    return [(int(a), int(b)) for a, b in zip(*linear_sum_assignment(cost), strict=True)]


def node_distances(truth: dict[int, Points], predicted: dict[int, Points]) -> list[float]:
    """Returns the distance, in pixels, of every true node that was found from its prediction."""
    import numpy as np

    found: list[float] = []
    for frame, instances in truth.items():
        if frame in predicted:
            for a, b in matched(instances, predicted[frame]):
                distances = np.linalg.norm(instances[a] - predicted[frame][b], axis=-1)
                found += distances[np.isfinite(distances)].tolist()
    return found


def centers(points: dict[int, Points]) -> dict[int, Points]:
    """Reduces every instance to the mean of its visible nodes, which is what a centroid model predicts."""
    import numpy as np

    return {frame: np.nanmean(instances, axis=1, keepdims=True) for frame, instances in points.items()}


def draw(path: Path, labels: Any, truth: dict[int, Points], predicted: dict[int, Points]) -> None:
    """Draws some frames with true nodes as circles and predicted ones as crosses."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    frames = sorted(truth)
    shown = frames[:: max(1, len(frames) // PICTURE_FRAMES)][:PICTURE_FRAMES]
    figure, axes = pyplot.subplots(1, len(shown), figsize=(4.5 * len(shown), 4.9), squeeze=False)
    for axis, frame in zip(axes[0], shown, strict=True):
        axis.imshow(labels.video[frame].squeeze(), cmap="gray", vmin=0, vmax=255)
        for instance in truth[frame]:
            for node, (x, y) in enumerate(instance):
                color = NODE_COLORS[node % len(NODE_COLORS)]
                axis.plot(x, y, "o", markersize=11, markerfacecolor="none", color=color)
        for instance in predicted.get(frame, ()):
            for node, (x, y) in enumerate(instance):
                axis.plot(x, y, "x", markersize=7, color=NODE_COLORS[node % len(NODE_COLORS)])
        axis.set_title(f"held-out frame {frame}", fontsize=10)
        axis.set_axis_off()
    figure.suptitle("circles: true positions, crosses: predictions", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def evaluate(labels_path: Path, models: list[Path], output_dir: Path) -> Evaluation:
    """Predicts on labelled frames, measures the error and draws a picture.

    Args:
        labels_path: A package with the true labels and their images.
        models: The model folders: one, or for a top-down model the centroid's and the centered instance's.
        output_dir: The folder for the predictions and the picture.
    """
    import numpy as np
    import sleap_io as sio

    output_dir.mkdir(parents=True, exist_ok=True)
    predictions, picture = output_dir / "predictions.slp", output_dir / "predictions.png"
    predictions.unlink(missing_ok=True)
    predict(labels_path, models, predictions)
    labels = sio.load_slp(str(labels_path))
    truth, predicted = points_by_frame(labels), points_by_frame(sio.load_slp(str(predictions)))
    if any(instances.shape[1] == 1 for instances in predicted.values()):
        truth = centers(truth)
    draw(picture, labels, truth, predicted)
    found = node_distances(truth, predicted)
    true_instances = sum(len(instances) for instances in truth.values())
    predicted_instances = sum(len(instances) for instances in predicted.values())
    return Evaluation(
        error_px=float(np.mean(found)) if found else float("inf"),
        true_nodes=int(sum(np.isfinite(instances[..., 0]).sum() for instances in truth.values())),
        found_nodes=len(found),
        extra_instances=max(0, predicted_instances - true_instances),
        frames=len(truth),
        predictions=str(predictions),
        picture=str(picture),
    )


def main() -> None:
    """Parses the options, evaluates, and prints the result; sleap-nn's own output goes to standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("-m", "--model", type=Path, action="append", required=True)
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        library = define_missing_torchvision_operators()
        evaluation = evaluate(options.labels, options.model, options.output_dir)
        del library
    print(json.dumps(asdict(evaluation)))


if __name__ == "__main__":
    main()
