"""Videos that break off are recognized by what their containers state."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.formats.video_containers import fault_of_container, stated_frame_count


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def large_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 1) + kind + struct.pack(">Q", 16 + len(content)) + content


INDEX_FIRST = box(b"ftyp", b"isom") + box(b"moov", bytes(50)) + box(b"mdat", bytes(500))
INDEX_LAST = box(b"ftyp", b"isom") + large_box(b"mdat", bytes(500)) + box(b"moov", bytes(50))
AVI = b"RIFF" + struct.pack("<I", 4 + 400) + b"AVI " + bytes(400)
MATROSKA = b"\x1a\x45\xdf\xa3\x84abcd" + b"\x18\x53\x80\x67" + b"\x41\x90" + bytes(400)
WHOLE = {"index-first.mp4": INDEX_FIRST, "index-last.mp4": INDEX_LAST, "a.avi": AVI, "a.mkv": MATROSKA}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_video(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name])
    assert fault_of_container(tmp_path / name) is None


@pytest.mark.parametrize("name", WHOLE)
def test_a_video_that_was_cut_off(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name][:300])
    fault = fault_of_container(tmp_path / name)
    assert fault.startswith("breaks off after 300 of the ")
    assert fault.endswith("copy or record it again.")


@pytest.mark.parametrize("end", [b"", struct.pack(">I", 0) + b"mdat" + bytes(90)])
def test_a_recording_that_was_not_finished(tmp_path, end):
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp", b"isom") + (end or box(b"mdat", bytes(90))))
    assert "no index of its frames" in fault_of_container(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\0\0\0\0AVI " + bytes(40),  # its writer never came back to state the size
        b"RIFF\xff\xff\xff\xffAVI " + bytes(40),
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(40),
        INDEX_FIRST + b"some trailing bytes",
        box(b"ftyp") + box(b"moof", bytes(9)) + struct.pack(">I", 0) + b"mdat" + bytes(9),
        box(b"ftyp") + struct.pack(">I", 3) + b"free",
        b"",
        b"another kind of file",
    ],
)
def test_what_states_no_size_is_not_judged(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert fault_of_container(tmp_path / "a") is None


def test_a_video_that_is_not_there(tmp_path):
    assert "No such file" in fault_of_container(tmp_path / "a.mp4")


@given(st.sampled_from([b"", b"RIFF\0\1\0\0AVI ", b"\x1a\x45\xdf\xa3", box(b"ftyp")]), st.binary(max_size=80))
def test_any_bytes_are_judged(tmp_path_factory, start, content):
    path = tmp_path_factory.getbasetemp() / "any.mp4"
    path.write_bytes(start + content)
    fault = fault_of_container(path)
    assert fault is None or fault.endswith("again.")
    count = stated_frame_count(path)
    assert count is None or count > 0


def track(kind: bytes, samples: int) -> bytes:
    sizes = box(b"stsz", bytes(4) + struct.pack(">II", 0, samples))
    handler = box(b"hdlr", bytes(8) + kind + bytes(12))
    return box(b"trak", box(b"mdia", handler + box(b"minf", box(b"stbl", box(b"stsd") + sizes))))


SOUND_AND_VIDEO = box(b"moov", box(b"mvhd", bytes(8)) + track(b"soun", 900) + track(b"vide", 40))
AVI_HEADER = b"strh" + struct.pack("<I", 56) + b"vids" + bytes(28) + struct.pack("<I", 40) + bytes(20)


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (box(b"ftyp", b"isom") + SOUND_AND_VIDEO + box(b"mdat", bytes(9)), 40),
        (box(b"ftyp", b"isom") + large_box(b"mdat", bytes(9)) + SOUND_AND_VIDEO, 40),
        (b"RIFF" + struct.pack("<I", 400) + b"AVI " + b"LIST\0\0\0\0hdrl" + AVI_HEADER, 40),
        (SOUND_AND_VIDEO + box(b"moof", b""), None),
        (box(b"ftyp", b"isom") + box(b"moov", track(b"soun", 900)), None),
        (box(b"ftyp", b"isom") + box(b"moov", track(b"vide", 0)), None),
        (INDEX_FIRST, None),
        (MATROSKA, None),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"", None),
    ],
)
def test_how_many_frames_a_video_states(tmp_path, content, count):
    (tmp_path / "a").write_bytes(content)
    assert stated_frame_count(tmp_path / "a") == count
