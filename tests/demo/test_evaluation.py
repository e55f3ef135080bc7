"""How predictions are compared with labels. Needs packages that sleap-nn depends on."""

from __future__ import annotations

import numpy as np
import pytest

from sleaprtc.demo.evaluation import centers, matched, node_distances

pytestmark = pytest.mark.train

LEFT = [[10.0, 10.0], [12.0, 10.0]]
RIGHT = [[90.0, 10.0], [92.0, 10.0]]
UNSEEN = [np.nan, np.nan]


def test_animals_are_paired_by_where_they_are() -> None:
    assert matched(np.array([LEFT, RIGHT]), np.array([RIGHT, LEFT])) == [(0, 1), (1, 0)]


def test_an_extra_prediction_is_left_over() -> None:
    far = [[500.0, 500.0], [502.0, 500.0]]
    assert matched(np.array([RIGHT]), np.array([far, RIGHT])) == [(0, 1)]


def test_the_error_is_the_distance_of_each_node_that_was_found() -> None:
    predicted = [[13.0, 14.0], UNSEEN]
    assert node_distances({0: np.array([LEFT])}, {0: np.array([predicted])}) == [5.0]


def test_frames_without_predictions_find_nothing() -> None:
    assert node_distances({0: np.array([LEFT]), 1: np.array([LEFT])}, {1: np.array([LEFT])}) == [0.0, 0.0]


def test_a_centroid_is_held_against_the_middle_of_the_visible_nodes() -> None:
    truth = centers({0: np.array([LEFT, [[4.0, 4.0], UNSEEN]])})
    assert truth[0].tolist() == [[[11.0, 10.0]], [[4.0, 4.0]]]
