"""The demo's recording: flies stay in the picture and apart, and labels match where they are drawn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sleaprtc.demo.flies import FRAME_SIZE_PX, MIN_DISTANCE_PX, Fly, render, starting_places, walk


def recorded(fly_count: int, frame_count: int, seed: int) -> list[list[tuple[float, float, float]]]:
    """The place and heading of each fly in each frame."""
    random = np.random.default_rng(seed)
    flies = starting_places(fly_count, random)
    frames = []
    for _ in range(frame_count):
        for fly in flies:
            walk(fly, [other for other in flies if other is not fly], random)
        frames.append([(fly.x, fly.y, fly.heading) for fly in flies])
    return frames


@pytest.mark.parametrize("seed", range(10))
def test_every_labelled_point_is_in_the_picture(seed: int) -> None:
    for frame in recorded(2, 100, seed):
        for x, y, heading in frame:
            points = Fly(x, y, heading).node_positions()
            assert all(0 <= coordinate < FRAME_SIZE_PX for point in points for coordinate in point)


@pytest.mark.parametrize("seed", range(10))
def test_two_flies_never_overlap(seed: int) -> None:
    for (x1, y1, _), (x2, y2, _) in recorded(2, 100, seed):
        assert np.hypot(x1 - x2, y1 - y2) >= MIN_DISTANCE_PX


def test_flies_walk_a_few_pixels_a_frame() -> None:
    steps = [
        np.hypot(after[0][0] - before[0][0], after[0][1] - before[0][1])
        for before, after in pairwise(recorded(1, 100, seed=7))
    ]
    assert max(steps) <= 5.0
    assert np.mean(steps) > 1.0


def test_the_head_is_drawn_where_it_is_labelled() -> None:
    fly = Fly(80.0, 80.0, heading=0.5)
    image = render([fly], np.random.default_rng(0))
    assert image.shape == (FRAME_SIZE_PX, FRAME_SIZE_PX)
    y, x = np.argwhere(image <= np.percentile(image, 0.1)).mean(axis=0)
    assert np.hypot(x - fly.node_positions()[0][0], y - fly.node_positions()[0][1]) < 2.0


def test_the_same_seed_makes_the_same_recording() -> None:
    assert recorded(2, 20, seed=3) == recorded(2, 20, seed=3)
