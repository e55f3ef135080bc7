"""A limit is read as people write it, and a mistake is told in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.base.byte_rates import LEAST_BYTES_PER_SEC, MOST_BYTES_PER_SEC, parse_rate, rate_text
from sleaprtc.errors import UsageError

UNITS = {"": 1, "k": 2**10, "M": 2**20, "G": 2**30}


@pytest.mark.parametrize(
    ("text", "bytes_per_sec"),
    [
        ("2M", 2 * 2**20),
        ("500k", 500 * 1024),
        ("1.5M", 1.5 * 2**20),
        (".5G", 2**29),
        ("1024", 1024),
        ("2MB", 2 * 2**20),
        ("2 MiB/s", 2 * 2**20),
        ("2m/s", 2 * 2**20),
        ("2048B/s", 2048),
        ("none", None),
        ("None", None),
    ],
)
def test_what_people_write(text, bytes_per_sec):
    assert parse_rate(text) == bytes_per_sec


@given(
    number=st.integers(1, 10**9) | st.decimals(0, 10**9, places=3).map(lambda number: f"{number:f}"),
    unit=st.sampled_from([*UNITS, "K", "m", "g"]),
    end=st.sampled_from(["", "B", "b", "iB", "/s", "B/s", " B/s"]),
)
def test_every_number_with_a_unit_is_a_rate_or_out_of_range(number, unit, end):
    size = UNITS.get(unit) or UNITS[unit.swapcase()]
    wanted = float(number) * size
    if LEAST_BYTES_PER_SEC <= wanted <= MOST_BYTES_PER_SEC:
        assert parse_rate(f"{number}{unit}{end}") == wanted
    else:
        with pytest.raises(UsageError, match=r"too low|higher than"):
            parse_rate(f"{number}{unit}{end}")


@pytest.mark.parametrize(
    "text",
    ["", " ", "M", "2T", "-2M", "+2M", "1e6", "2,5M", "2M2", "nan", "inf", "0x10", "٢M", "2M\n3", "9" * 400],
)
def test_what_is_no_rate_is_refused_in_a_sentence(text):
    with pytest.raises(UsageError) as refused:
        parse_rate(text)
    assert str(refused.value).endswith(".")


@given(st.text())
def test_any_text_is_a_rate_or_a_mistake(text):
    try:
        bytes_per_sec = parse_rate(text)
    except UsageError:
        return
    assert bytes_per_sec is None or LEAST_BYTES_PER_SEC <= bytes_per_sec <= MOST_BYTES_PER_SEC


@given(st.floats(LEAST_BYTES_PER_SEC, MOST_BYTES_PER_SEC))
def test_a_rate_in_a_sentence_can_be_typed_again(bytes_per_sec):
    assert parse_rate(rate_text(bytes_per_sec)) == pytest.approx(bytes_per_sec, rel=1e-3)


def test_sentences_have_round_units():
    texts = [rate_text(parse_rate(text)) for text in ("2M", "500k", "1.5M", "100000", "3G")]
    assert texts == ["2 MiB/s", "500 KiB/s", "1.5 MiB/s", "97.66 KiB/s", "3 GiB/s"]
