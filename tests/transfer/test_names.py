"""Received names are names, never paths."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc.config.files import PROJECT_FILE_NAME
from sleaprtc.errors import InvalidFileNameError
from sleaprtc.transfer.names import MAX_PLAIN_BYTES, checked_name, plain_name, printable, shortened

DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789"),
}
"""Windows device names. ``PurePath.is_reserved`` isn't used, since its results depend on Python's version."""


@pytest.mark.parametrize(
    "name",
    [
        "labels.v001.pkg.slp",
        "model.zip",
        "two words (copy) [1].slp",
        "мухи 蝇 🪰.slp",
        "می‌خواهم.slp",
        ".hidden",
        "console.log",
        "com10",
        "x" * 255,
    ],
)
def test_ordinary_names_pass(name: str) -> None:
    assert checked_name(name) == name


def test_decomposed_letters_are_composed() -> None:
    assert checked_name("Mu\u0308cke.slp") == "M\u00fccke.slp"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "...",
            " ",
            "x.",
            "x ",
            "x..",
            "x/",
            "/x",
            "a/b",
            "../x",
            "a\\b",
            "C:\\x",
            "C:x",
            "x:y",
        ),
        *(PROJECT_FILE_NAME, "Sleap-RTC.toml", "sleap-rtc.to\u200dml"),
        *("a\0b", "a\nb", "\x1b[31mred", "a\x7f", "a\u202eb", "a\u2028b", "\ud800", "\ufeffx"),
        *(
            "con",
            "CON",
            "Con.txt",
            "con .txt",
            "aux.slp",
            "NUL",
            "prn",
            "com1",
            "LPT9.zip",
            "COM\u00b9",
            "CONIN$",
        ),
        *("x" * 256, "é" * 128, ".sleap-rtc-sha256-00.part"),
    ],
)
def test_others_don_t(name: str) -> None:
    with pytest.raises(InvalidFileNameError) as caught:
        checked_name(name)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@given(st.text())
def test_what_passes_is_one_plain_component_everywhere(name: str) -> None:
    try:
        checked = checked_name(name)
    except InvalidFileNameError:
        return
    assert PurePosixPath(checked).parts == PureWindowsPath(checked).parts == (checked,)
    assert unicodedata.is_normalized("NFC", checked)
    assert 0 < len(checked.encode()) <= 255
    assert checked_name(checked) == checked


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("labels.v001.pkg.slp", "labels.v001.pkg.slp"),
        (".hidden", ".hidden"),
        ("labels 10:15.pkg.slp", "labels 10_15.pkg.slp"),
        ("2024-03-01T10:15:30.mp4", "2024-03-01T10_15_30.mp4"),
        ("con.mp4", "_con.mp4"),
        ("a\tb\n.mp4", "a_b_.mp4"),
        ("\udcff.mp4", "_.mp4"),
        ("mouse. ", "mouse"),
        ("..", "_file"),
        ("", "_file"),
        ("sleap-rtc.toml", "_sleap-rtc.toml"),
        (".sleap-rtc-x.slp", "_.sleap-rtc-x.slp"),
        ("x" * 244 + ".mp4", "x" * 176 + ".mp4"),
        ("x" * 240 + ".pkg.slp", "x" * 172 + ".pkg.slp"),
        ("é" * 120 + ".mp4", "é" * 88 + ".mp4"),
        ("x." + "y" * 250, "x." + "y" * 178),
    ],
)
def test_a_file_is_sent_under_a_plain_name(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@given(st.text() | st.text("aé.: \u0301", min_size=150, max_size=400))
@example("con." + "x" * 300)
@example("con" + " " * 300 + ".")
def test_every_plain_name_passes(name: str) -> None:
    plain = plain_name(name)
    assert checked_name(plain) == plain_name(plain) == plain
    assert len(plain.encode()) <= MAX_PLAIN_BYTES
    assert len(shortened(plain, 20).encode()) <= 20


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 500
