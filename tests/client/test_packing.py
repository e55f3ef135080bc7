"""Labels that point to videos: which files are packed for them, or why none are."""

import struct

import pytest

from sleaprtc.client.inputs.pack_labels import contradiction
from sleaprtc.client.inputs.packing import read_with_images
from sleaprtc.client.inputs.scratch import Scratch
from sleaprtc.errors import InvalidDatasetError

from ..support.datasets import write_labels_of_videos
from ..support.lab import make_video

DAY_1, DAY_2 = "C:\\rec\\day1\\cam.mp4", "C:\\rec\\day2\\cam.mp4"


async def refusal(labels, embed="user") -> str:
    with Scratch() as scratch, pytest.raises(InvalidDatasetError) as caught:
        await read_with_images(labels, scratch, embed=embed, emit=lambda _: None)
    return str(caught.value)


@pytest.fixture(autouse=True)
def without_sleap_io(monkeypatch):
    monkeypatch.setattr("sleaprtc.formats.with_sleap_io.find_spec", lambda _: None)
    monkeypatch.delenv("SLEAP_RTC_TRAINER_PYTHON", raising=False)


@pytest.mark.parametrize("embed", ["user", "all"])
async def test_two_videos_with_one_name_are_not_packed_from_one_file(tmp_path, embed):
    make_video(tmp_path / "cam.mp4")
    labels = write_labels_of_videos(tmp_path / "days.slp", [DAY_1, DAY_2], labelled=[0, 1])
    said = await refusal(labels, embed)
    assert DAY_1 in said
    assert DAY_2 in said


async def test_a_missing_video_is_named(tmp_path):
    labels = write_labels_of_videos(tmp_path / "days.slp", [DAY_1], labelled=[0])
    assert await refusal(labels) == f"The video {DAY_1} isn't there, nor beside days.slp."


async def test_a_missing_video_without_labels_is_no_hindrance(tmp_path):
    make_video(tmp_path / "here.mp4")
    labels = write_labels_of_videos(tmp_path / "days.slp", ["/rec/here.mp4", "/rec/gone.mp4"], labelled=[0])
    assert "sleap-io" in await refusal(labels)


async def test_a_video_that_breaks_off_is_not_packed(tmp_path):
    (tmp_path / "cam.mp4").write_bytes(struct.pack(">I", 999) + b"moov" + bytes(90))
    labels = write_labels_of_videos(tmp_path / "days.slp", ["cam.mp4"], labelled=[0])
    assert f"{tmp_path / 'cam.mp4'} breaks off after 98 of the 999 bytes" in await refusal(labels)


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ((12, 80, 96, 3), (12, 80, 96, 3)),
        ((12, 80, 96, 3), (12, 80, 96, 1)),
        ((12, 80, 96, 3), (13, 80, 96, 3)),
        ((1000, 80, 96, 3), (1009, 80, 96, 3)),
        (None, (12, 80, 96, 3)),
        ((0, 0, 0, 0), (12, 80, 96, 3)),
    ],
)
def test_what_labels_state_fits(stated, found):
    assert contradiction("cam.mp4", stated, found, last_frame=11) is None


@pytest.mark.parametrize(
    ("stated", "found", "last_frame", "said"),
    [
        ((12, 80, 96, 3), (12, 480, 640, 3), 3, "images of 640 x 480 pixels"),
        ((12, 80, 96, 3), (40, 80, 96, 3), 3, "has 40 frames, and the labels are about a video of 12"),
        ((1000, 80, 96, 3), (900, 80, 96, 3), 3, "has 900 frames"),
        (None, (12, 80, 96, 3), 12, "about frame 12"),
    ],
)
def test_what_labels_state_contradicts_a_file(stated, found, last_frame, said):
    sentence = contradiction("cam.mp4", stated, found, last_frame)
    assert said in sentence
    assert sentence.startswith("cam.mp4 has ")
