"""Which file on this machine is taken for a video that labels name."""

import json
from pathlib import Path

import pytest

from sleaprtc.formats.recorded_videos import find_videos, names_of

DAY_1, DAY_2 = "C:\\rec\\day1\\cam.mp4", "C:\\rec\\day2\\cam.mp4"


def write(path: Path, content: str = "") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content or f"the video {path}")
    return str(path)


def found(folder: Path, *names: str):
    """What labels in the folder find of single videos: a path below the folder, or the fault."""
    results = find_videos([(name,) for name in names], folder / "labels.slp")
    return [
        result.fault or (result.files and str(Path(result.files[0]).relative_to(folder)))
        for result in results
    ]


def test_a_video_where_it_is_named(tmp_path):
    elsewhere = write(tmp_path / "far" / "cam.mp4")
    write(tmp_path / "project" / "cam.mp4")
    (result,) = find_videos([(elsewhere,)], tmp_path / "project" / "labels.slp")
    assert result.files == (elsewhere,)


@pytest.mark.parametrize("name", [DAY_1, "/rec/day1/cam.mp4", "day1/cam.mp4", "//server/rec/day1/cam.mp4"])
@pytest.mark.parametrize("place", ["cam.mp4", "day1/cam.mp4"])
def test_a_video_that_moved_with_its_labels(tmp_path, name, place):
    write(tmp_path / place)
    assert found(tmp_path, name) == [place]


def test_a_file_that_two_videos_could_be_is_taken_for_neither(tmp_path):
    write(tmp_path / "cam.mp4")
    faults = found(tmp_path, DAY_1, DAY_2)
    for fault in faults:
        assert DAY_1 in fault
        assert DAY_2 in fault
        assert f"{tmp_path / 'cam.mp4'} could be" in fault
        assert "such as day1/cam.mp4 and day2/cam.mp4" in fault


def test_folders_beside_the_labels_tell_videos_apart(tmp_path):
    write(tmp_path / "day1" / "cam.mp4")
    write(tmp_path / "day2" / "cam.mp4")
    write(tmp_path / "cam.mp4")
    assert found(tmp_path, DAY_1, DAY_2) == ["day1/cam.mp4", "day2/cam.mp4"]


def test_a_video_of_another_folder_is_not_the_one_beside_the_labels(tmp_path):
    """The labels were saved beside day 1's video, and day 2's isn't on this machine."""
    beside = write(tmp_path / "cam.mp4")
    day_1, day_2 = found(tmp_path, beside, "/rec/day2/cam.mp4")
    assert day_1 == "cam.mp4"
    assert beside in day_2
    assert "/rec/day2/cam.mp4" in day_2


def test_a_copy_of_another_video_is_not_the_one_that_is_missing(tmp_path):
    day_1 = write(tmp_path / "day1" / "cam.mp4", "the same")
    write(tmp_path / "cam.mp4", "the same")
    assert day_1 in found(tmp_path, day_1, "/rec/day2/cam.mp4")[1]


def test_what_is_left_is_the_other_video(tmp_path):
    day_1 = write(tmp_path / "day1" / "cam.mp4")
    write(tmp_path / "cam.mp4")
    assert found(tmp_path, day_1, "/rec/day2/cam.mp4") == ["day1/cam.mp4", "cam.mp4"]


def test_a_video_that_is_listed_twice_is_one_video(tmp_path):
    write(tmp_path / "cam.mp4")
    assert found(tmp_path, DAY_1, DAY_1) == ["cam.mp4", "cam.mp4"]


def test_nothing_there(tmp_path):
    assert found(tmp_path, DAY_1) == [f"The video {DAY_1} isn't there, nor beside labels.slp."]


@pytest.mark.parametrize("start", ["C:\\Users\\ada\\rec\\", "/home/ada/rec/", "rec/"])
def test_a_list_of_images_moves_as_a_video_does(tmp_path, start):
    images = [write(tmp_path / f"im{number}.png") for number in range(3)]
    (result,) = find_videos([tuple(f"{start}im{n}.png" for n in range(3))], tmp_path / "labels.slp")
    assert result.files == tuple(images)


def test_a_list_with_an_image_missing_is_not_found(tmp_path):
    write(tmp_path / "im0.png")
    (result,) = find_videos([("/rec/im0.png", "/rec/im1.png")], tmp_path / "labels.slp")
    assert result.files is None
    assert "2 images (/rec/im0.png and others)" in result.fault


def test_two_lists_that_could_be_the_same_images(tmp_path):
    write(tmp_path / "im0.png")
    results = find_videos([("/day1/im0.png",), ("/day2/im0.png",)], tmp_path / "labels.slp")
    assert all("two videos" in result.fault for result in results)


def test_an_address_is_left_to_whoever_opens_it(tmp_path):
    (result,) = find_videos([("https://example.org/cam.mp4",)], tmp_path / "labels.slp")
    assert (result.files, result.fault) == (("https://example.org/cam.mp4",), None)


@pytest.mark.parametrize(
    ("described", "names"),
    [
        ({"backend": {"filename": "."}}, None),
        ({"filename": "x.pkg.slp", "backend": {"filename": "."}}, None),
        ({"backend": {"filename": "a.mp4"}}, ("a.mp4",)),
        ({"filename": "a.mp4", "backend": {}}, ("a.mp4",)),
        ({"filename": ["a", "b"], "backend": {"filename": "a", "filenames": ["a", "b"]}}, ("a", "b")),
        ({"filename": ["a", "b"], "backend": {}}, ("a", "b")),
    ],
)
def test_what_labels_name(described, names):
    assert names_of(json.loads(json.dumps(described))) == names


@pytest.mark.parametrize("described", [{}, {"backend": {}}, {"backend": {"filename": 3}}, {"filename": []}])
def test_a_description_without_a_file_is_broken(described):
    with pytest.raises(ValueError, match="no file name"):
        names_of(described)
