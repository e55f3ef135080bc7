"""Documents from outside: what is read has no lone surrogates, and what is written can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.base.json_text import LoneSurrogateError, format_json, parse_json
from sleaprtc.client.inputs.dataset import read_config
from sleaprtc.client.jobs.order.filters import parse_condition
from sleaprtc.config.files import read_file
from sleaprtc.errors import InvalidMessageError, InvalidTrainingConfigError, SleapRTCError, UsageError
from sleaprtc.formats.documents import read_document
from sleaprtc.formats.sleap_nn.configuration import parse_config
from sleaprtc.protocol import codec

from .support.datasets import read_dataset
from .support.lab import make_labels

any_text = st.text(st.characters(exclude_categories=()), max_size=6)
any_values = st.recursive(
    st.none() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)


def is_text(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(value=any_values)
def test_every_string_and_key_is_read_as_text_or_refused(value: Any) -> None:
    document = json.dumps(value)
    joined = json.loads(document)  # in which two halves that stood side by side have become one character
    if is_text(joined):
        assert parse_json(document) == parse_json(document.encode()) == joined
    else:
        for form in (document, document.encode(), document.replace("\\ud", "\\uD")):
            with pytest.raises(LoneSurrogateError):
                parse_json(form)


@given(value=any_values)
def test_whatever_is_written_can_be_read(value: Any) -> None:
    assert is_text(parse_json(format_json(value)))
    if is_text(value):
        assert parse_json(format_json(value)) == value


@pytest.mark.parametrize(
    "document", ["[" * 100_000, b"\xff", b'"\xed\xa0\x80"', "", None, 5, '"\ud800"', "{'a': 1}"]
)
def test_what_is_no_json_is_a_value_error(document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(document)


@pytest.mark.parametrize(
    "document",
    [
        *('a: "\\ud800"', '"\\uDfff": 1', '[{"a": ["\\ud800"]}]', '"\\ud83d\\ude00"', "a: \ud800"),
        *(
            "[" * 5000,
            b"\xff",
            "&b [*b]: 1",
            "- !!timestamp x",
            '!!int ""',
            "!!python/name:os.x",
        ),
    ],
)
def test_what_is_no_yaml_of_text_is_no_configuration(document: str | bytes) -> None:
    content = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
    with pytest.raises(InvalidTrainingConfigError):
        read_document(content, "config.yaml", InvalidTrainingConfigError)


def test_yaml_of_text_is_read() -> None:
    content = 'a: ["\\U0001f600", ü, 1, null]'.encode()
    assert read_document(content, "config.yaml", InvalidTrainingConfigError) == {"a": ["😀", "ü", 1, None]}


LONE = {"a": {"b": ["\ud800"]}, "\udfff": 1}


@pytest.mark.parametrize("name", ["config.json", "config.yaml"])
def test_a_configuration_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(LONE))
    with pytest.raises(SleapRTCError):
        read_config(path)
    with pytest.raises(SleapRTCError):
        parse_config(path.read_bytes(), name)


def test_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sleap-rtc.toml"
    path.write_text('room = "\\ud800"\n')
    with pytest.raises(UsageError):
        read_file(path)


def test_labels_are_refused(tmp_path: Path) -> None:
    import h5py

    path = make_labels(tmp_path / "flies.pkg.slp")
    for said in (json.dumps({"skeletons": [{"graph": {"name": "\ud800"}}]}), b'{"a": "\xed\xa0\x80"}'):
        with h5py.File(path, "r+") as file:
            file["metadata"].attrs["json"] = said
        with pytest.raises(SleapRTCError):
            read_dataset(path)


def test_a_condition_of_a_filter_is_a_plain_word() -> None:
    assert parse_condition('note="\\ud800"') == ("note", "$eq", '"\\ud800"')


@pytest.mark.parametrize("text", ['{"type": "\\ud800"}', '{"a": [{"\\uDBFF": 1}]}', '{"a": "\ud800"}'])
def test_a_message_is_invalid(text: str) -> None:
    with pytest.raises(InvalidMessageError, match="surrogate"):
        codec.decode_json_object(text)
