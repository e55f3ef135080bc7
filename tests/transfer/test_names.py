"""Received names are names, never paths."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.config.files import PROJECT_FILE_NAME
from sleaprtc.errors import InvalidFileNameError
from sleaprtc.transfer.names import checked_name, printable

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


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 500
