"""Makes a small labelled recording of walking flies.

It runs as a script, by the Python in which sleap-io is installed, and imports nothing else of this package.
It prints one JSON object: ``{"training": PATH, "held_out": PATH}``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from math import cos, pi, sin, tau
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.float64]

FRAME_SIZE_PX: Final = 160
NODES: Final = ("head", "thorax", "abdomen")
EDGES: Final = (("head", "thorax"), ("thorax", "abdomen"))
NODE_OFFSETS_PX: Final = {"head": 9.0, "thorax": 0.0, "abdomen": -18.0}
"""Along the body's axis, from the thorax."""

MARGIN_PX: Final = 28.0
MIN_DISTANCE_PX: Final = 46.0
"""Between two flies' thoraces, so that they pass each other without overlapping."""


@dataclass
class Fly:
    """A fly: its thorax's position in pixels, its heading and the spread of its wings in radians."""

    x: float
    y: float
    heading: float
    wing_spread: float = 0.25

    def node_positions(self) -> list[tuple[float, float]]:
        """Returns the (x, y) of each of :data:`NODES`, in pixels."""
        return [self.along_axis(NODE_OFFSETS_PX[node]) for node in NODES]

    def along_axis(self, distance_px: float) -> tuple[float, float]:
        """Returns the point that lies ``distance_px`` ahead of the thorax."""
        return self.x + distance_px * cos(self.heading), self.y + distance_px * sin(self.heading)


def walk(fly: Fly, others: list[Fly], random: np.random.Generator) -> None:
    """Moves a fly by one frame: a few pixels ahead, or a turn if the way is blocked."""
    fly.heading += random.normal(0.0, 0.25)
    fly.wing_spread = float(min(0.6, max(0.1, fly.wing_spread + random.normal(0.0, 0.08))))
    x, y = fly.along_axis(random.uniform(1.0, 5.0))
    inside = all(MARGIN_PX < coordinate < FRAME_SIZE_PX - MARGIN_PX for coordinate in (x, y))
    apart = all((x - other.x) ** 2 + (y - other.y) ** 2 > MIN_DISTANCE_PX**2 for other in others)
    if inside and apart:
        fly.x, fly.y = x, y
    else:
        fly.heading += random.uniform(0.6, 1.8)


def darken_ellipse(
    image: Pixels, center: tuple[float, float], radii_px: tuple[float, float], angle: float, opacity: float
) -> None:
    """Darkens the inside of a soft-edged ellipse; ``opacity`` 1.0 makes it black."""
    import numpy as np

    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    dx, dy = columns - center[0], rows - center[1]
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / radii_px[0]
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / radii_px[1]
    coverage = np.clip((1.0 - np.hypot(along, across)) * min(radii_px) + 0.5, 0.0, 1.0)
    image *= 1.0 - opacity * coverage


def draw(fly: Fly, image: Pixels) -> None:
    """Draws body, head and wings onto an image."""
    for side in (-1.0, 1.0):
        wing_angle = fly.heading + pi + side * fly.wing_spread
        middle = fly.x + 13.0 * cos(wing_angle), fly.y + 13.0 * sin(wing_angle)
        darken_ellipse(image, middle, (13.0, 5.0), wing_angle, 0.25)
    darken_ellipse(image, fly.along_axis(-13.0), (10.0, 5.5), fly.heading, 0.5)
    darken_ellipse(image, fly.along_axis(-18.0), (4.0, 4.5), fly.heading, 0.6)
    darken_ellipse(image, fly.along_axis(0.0), (6.0, 5.0), fly.heading, 0.65)
    darken_ellipse(image, fly.along_axis(9.0), (3.0, 5.5), fly.heading, 0.95)


def render(flies: list[Fly], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Renders one frame: an unevenly lit arena, the flies, and camera noise."""
    import numpy as np

    rows, columns = np.mgrid[0:FRAME_SIZE_PX, 0:FRAME_SIZE_PX] / FRAME_SIZE_PX
    image = 205.0 - 35.0 * ((rows - 0.45) ** 2 + (columns - 0.55) ** 2) / 0.5
    for fly in flies:
        draw(fly, image)
    image += random.normal(0.0, 4.0, image.shape)
    frame: npt.NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return frame


def starting_places(fly_count: int, random: np.random.Generator) -> list[Fly]:
    """Puts the flies side by side, each with a heading of its own."""
    places = [FRAME_SIZE_PX * (number + 1) / (fly_count + 1) for number in range(fly_count)]
    return [Fly(x, FRAME_SIZE_PX / 2, random.uniform(0.0, tau)) for x in places]


def record(
    folder: Path, *, fly_count: int, frame_count: int, seed: int
) -> tuple[list[Path], list[list[list[tuple[float, float]]]]]:
    """Renders a recording into PNG files.

    Returns:
        The frames' files, and for each frame the node positions of each fly in pixels.
    """
    import imageio.v3 as iio
    import numpy as np

    random = np.random.default_rng(seed)
    flies = starting_places(fly_count, random)
    files, positions = [], []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frame_count):
        for fly in flies:
            walk(fly, [other for other in flies if other is not fly], random)
        file = folder / f"{number:04}.png"
        iio.imwrite(file, render(flies, random))
        files.append(file)
        positions.append([fly.node_positions() for fly in flies])
    return files, positions


def save_package(path: Path, files: list[Path], positions: list[list[list[tuple[float, float]]]]) -> None:
    """Writes a package: labels with their images embedded."""
    import numpy as np
    import sleap_io as sio

    skeleton = sio.Skeleton(nodes=list(NODES), edges=[tuple(edge) for edge in EDGES], name="fly")
    video = sio.Video.from_filename([str(file) for file in files], grayscale=True)

    def instance(points: list[tuple[float, float]]) -> Any:
        return sio.Instance.from_numpy(np.array(points), skeleton=skeleton)

    frames = [
        sio.LabeledFrame(video=video, frame_idx=number, instances=[instance(points) for points in flies])
        for number, flies in enumerate(positions)
    ]
    labels = sio.Labels(frames, videos=[video], skeletons=[skeleton])
    labels.save(str(path), embed="user", verbose=False)


def make_recording(
    folder: Path, *, fly_count: int = 1, frame_count: int = 64, held_out_count: int = 16, seed: int = 7
) -> tuple[Path, Path]:
    """Records flies, and holds out the last frames.

    Returns:
        The package to train on and the package of held-out frames, both in ``folder``.
    """
    files, positions = record(
        folder / "frames", fly_count=fly_count, frame_count=frame_count + held_out_count, seed=seed
    )
    training, held_out = folder / "flies.train.pkg.slp", folder / "flies.held_out.pkg.slp"
    save_package(training, files[:frame_count], positions[:frame_count])
    save_package(held_out, files[frame_count:], positions[frame_count:])
    return training, held_out


def main() -> None:
    """Parses the options, makes the recording, and prints the paths of the two packages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flies", type=int, default=1)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--held-out", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    training, held_out = make_recording(
        options.folder,
        fly_count=options.flies,
        frame_count=options.frames,
        held_out_count=options.held_out,
        seed=options.seed,
    )
    print(json.dumps({"training": str(training), "held_out": str(held_out)}))


if __name__ == "__main__":
    main()
