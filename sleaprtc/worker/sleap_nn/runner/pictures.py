"""Pictures of a training: its losses, and what the model predicts on frames that it was validated on.

Figures are made without pyplot, so that no display is looked for and nothing stays behind.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

TRAIN_COLOR, VAL_COLOR = "#0072b2", "#d55e00"  # told apart with any kind of colour vision
TRUE_COLOR, PREDICTED_COLOR = "#00d0e0", "#ff5fc8"
LOG_RATIO = 10.0  # losses that span a decade are shown on a logarithmic scale

MAX_FRAMES = 4
MAX_IMAGE_SIDE_PX = 640  # larger images are thinned out, since a panel has no more pixels
MIN_VIEW_SHARE = 0.25  # of the image's longer side: nearer than this nobody sees where in the image it is

Losses = tuple[int, float, float | None]
Frame = tuple[str, Any, Sequence[Any], Sequence[Any]]


def draw_losses(path: pathlib.Path, head: str, losses: Sequence[Losses], best_epoch: int | None) -> None:
    """Draws training and validation loss by epoch, with the epoch whose model was kept."""
    figure, (axis,) = _figure(1, 7.0, 4.2)
    curves = [
        ("training", TRAIN_COLOR, [(epoch, train) for epoch, train, _ in losses]),
        ("validation", VAL_COLOR, [(epoch, val) for epoch, _, val in losses if val is not None]),
    ]
    shown = []
    for name, color, points in curves:
        finite = [(epoch, loss) for epoch, loss in points if math.isfinite(loss)]
        if finite:
            marker = "o" if len(finite) == 1 else None
            axis.plot(*zip(*finite, strict=True), color=color, label=name, marker=marker, linewidth=1.6)
            shown += [loss for _, loss in finite]
    if shown and min(shown) > 0 and max(shown) / min(shown) >= LOG_RATIO:
        axis.set_yscale("log")
    best = next((row for row in losses if row[0] == best_epoch), None)
    if best is not None:
        loss = best[1] if best[2] is None else best[2]
        axis.axvline(best[0], color="0.7", linewidth=1, linestyle="--", zorder=0)
        axis.plot([best[0]], [loss], "o", color="black", label=f"best: {loss:.3g} in epoch {best[0]}")
    axis.set(title=head.replace("_", " "), xlabel="epoch", ylabel="loss")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(color="0.92")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    _save(figure, path)


def draw_predictions(path: pathlib.Path, head: str, split: str, frames: Sequence[Frame]) -> None:
    """Draws some frames with true instances in one colour and predicted ones in another."""
    column_count = min(2, len(frames))
    row_count = -(-len(frames) // column_count)
    figure, axes = _figure(len(frames), 4.4 * column_count, 4.4 * row_count + 0.5, column_count=column_count)
    for axis, (title, image, true, predicted) in zip(axes, frames, strict=True):
        height_px, width_px = image.shape[:2]
        step = max(1, math.ceil(max(height_px, width_px) / MAX_IMAGE_SIDE_PX))
        pixels = image[::step, ::step]
        gray = pixels.ndim == 2 or pixels.shape[-1] == 1
        axis.imshow(
            pixels.reshape(pixels.shape[:2]) if gray else pixels[..., :3],
            cmap="gray" if gray else None,
            extent=(-0.5, width_px - 0.5, height_px - 0.5, -0.5),
        )
        points = _draw_instances(axis, true, TRUE_COLOR, "o", "label")
        points += _draw_instances(axis, predicted, PREDICTED_COLOR, "x", "prediction")
        _look_at(axis, points, width_px, height_px)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    figure.suptitle(f"{head.replace('_', ' ')}: {split} frames", fontsize=11)
    handles, names = axes[0].get_legend_handles_labels()
    named = dict(zip(names, handles, strict=True))
    figure.legend(named.values(), named, loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def _draw_instances(
    axis: Any, instances: Sequence[Any], color: str, marker: str, name: str
) -> list[tuple[float, float]]:
    """Draws nodes and edges; returns the positions that are known, in pixels."""
    known = []
    for instance in instances:
        points = instance.numpy()
        for start, end in instance.skeleton.edge_inds:
            axis.plot(points[[start, end], 0], points[[start, end], 1], color=color, linewidth=1, alpha=0.7)
        hollow = {"markerfacecolor": "none"} if marker == "o" else {}
        size = 9 if marker == "o" else 6
        axis.plot(points[:, 0], points[:, 1], marker, color=color, markersize=size, label=name, **hollow)
        known += [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return known


def _look_at(axis: Any, points: Sequence[tuple[float, float]], width_px: int, height_px: int) -> None:
    """Shows the part of the image where something is, as a square."""
    if not points:
        return
    xs, ys = zip(*points, strict=True)
    spread = max(max(xs) - min(xs), max(ys) - min(ys))
    side = max(1.5 * spread, MIN_VIEW_SHARE * max(width_px, height_px))
    if side >= min(width_px, height_px):
        return
    x, y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    x = min(max(x, side / 2), width_px - side / 2)
    y = min(max(y, side / 2), height_px - side / 2)
    axis.set(xlim=(x - side / 2, x + side / 2), ylim=(y + side / 2, y - side / 2))


def _figure(
    panel_count: int, width_inches: float, height_inches: float, *, column_count: int = 1
) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    row_count = -(-panel_count // column_count)
    return figure, [figure.add_subplot(row_count, column_count, n + 1) for n in range(panel_count)]


def _save(figure: Any, path: pathlib.Path) -> None:
    """Writes a PNG that is whole or not there."""
    unfinished = path.with_name(f".{path.name}")
    figure.savefig(unfinished, format="png", metadata={"Software": None})
    unfinished.rename(path)


def choose_frames(true: Any, predicted: Any, images: Sequence[Any]) -> list[Frame]:
    """Takes a few labelled frames, spread over all, with their images and what was predicted on them.

    Args:
        true: Labels.
        predicted: Predictions on the same frames.
        images: Videos that hold the images of the labels' own videos, whose files aren't opened.
    """
    by_origin = {origin_of(video): video for video in images}
    predictions = {(origin_of(frame.video), frame.frame_idx): list(frame.instances) for frame in predicted}
    count = min(MAX_FRAMES, len(true))
    chosen: list[Frame] = []
    for number in range(count):
        frame = true[number * len(true) // count]
        origin = origin_of(frame.video)
        video = by_origin.get(origin) or (images[0] if len(by_origin) == 1 else None)
        if video is None:
            continue
        title = f"frame {frame.frame_idx}"
        if len(true.videos) > 1:
            title += f" of video {true.videos.index(frame.video) + 1}"
        found = predictions.get((origin, frame.frame_idx), [])
        chosen.append((title, video[frame.frame_idx], list(frame.instances), found))
    return chosen


def origin_of(video: Any) -> tuple[str, Any]:
    """What tells the videos of a package from one another, wherever the package lies."""
    metadata: Mapping[str, Any] = getattr(video, "backend_metadata", None) or {}
    dataset = getattr(video.backend, "dataset", None) or metadata.get("dataset")
    name = video.filename[0] if isinstance(video.filename, list) else video.filename
    return pathlib.PurePath(str(name)).name, dataset
