"""Frames as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.jobs.frames import count_inside, outside, parse_frames


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("7", (range(7, 8),)),
        ("0-99", (range(100),)),
        (" 0 - 3 , 5", (range(4), range(5, 6))),
    ],
)
def test_what_people_write(text, ranges):
    assert parse_frames(text) == ranges


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1,,2", "1-999999999", "0x1", "1" * 30, "²"])
def test_what_is_something_else(text):
    with pytest.raises(ValueError, match="frames"):
        parse_frames(text)


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 1000)), min_size=1, max_size=20))
def test_ranges_come_back(pairs):
    ends = [(first, min(first + length, 10**8)) for first, length in pairs]
    text = ",".join(f"{first}-{last}" for first, last in ends)
    assert [(frames[0], frames[-1]) for frames in parse_frames(text)] == ends


@pytest.mark.parametrize(
    ("text", "count", "said"),
    [
        ("0-11", 12, None),
        ("5-40", 7, "v.mp4 has 12 frames (0 to 11), and frame 40 was asked for."),
        ("3,20-40", 1, "v.mp4 has 12 frames (0 to 11), and frame 40 was asked for."),
        ("12", 0, "v.mp4 has 12 frames (0 to 11), and frame 12 was asked for."),
    ],
)
def test_frames_that_are_not_there(text, count, said):
    ranges = parse_frames(text)
    assert outside(ranges, 12, "v.mp4") == said
    assert count_inside(ranges, 12) == (12 if said is None else count)
