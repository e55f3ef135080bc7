"""Configurations that would crash a parser, or take too much of its time or memory."""

import time

import pytest

from sleaprtc.client.inputs.dataset import read_config
from sleaprtc.errors import InvalidTrainingConfigError
from sleaprtc.formats.documents import MAX_CONFIG_BYTES, read_document
from sleaprtc.formats.sleap_nn.configuration import (
    check_requested,
    filter_config,
    is_legacy,
    parse_config,
)

PATIENCE_SEC = 60.0
"""The slowest takes two seconds alone."""

LAUGHS = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
)
MERGES = b"a0: &a0 {k: 1}\n" + b"".join(
    b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
)
BROKEN_YAML = {
    "a billion laughs": LAUGHS,
    "merges that multiply": MERGES,
    "an anchor in itself": b"a: &a [*a]",
    "a section in itself": b"a: &a {b: *a}",
    "a merge in itself": b"a: &a {<<: *a}",
    "a Python object": b"a: !!python/object/apply:os.system ['true']",
    "a number that is none": b"a: !!int ''",
    "a float that is none": b"a: !!float x",
    "a truth that is none": b"a: !!bool x",
    "a date that is none": b"a: !!timestamp x",
    "a set": b"a: !!set {x, y}",
    "binary data": b"a: !!binary x",
    "a key twice": b"a: 1\na: 2",
    "10^5 digits": b"a: " + b"9" * 100_000,
    "10^5 hexadecimal digits": b"a: 0x" + b"f" * 100_000,
    "10^4 sexagesimal digits": b"a: 1" + b":59" * 10_000,
    "a number of 70 bits": b"a: " + str(2**70).encode(),
    "half of a surrogate pair": b'a: "\\ud800"',
    "the other half in a key": b'"\\udfff": 1',
    "nested deeply": b"a: " + b"[" * 20_000,
    "nested by lines": b"\n".join(b" " * n + b"a:" for n in range(600)),
    "many values": b"a: [" + b"1," * 30_000 + b"]",
    "many documents": b"--- {a: 1}\n" * 1000,
    "no text": b"\xff\xfe\x00\x01",
    "a NUL": b"a: \x00",
    "too large": b"#" * (MAX_CONFIG_BYTES + 1),
    "a list": b"- a",
    "nothing": b"",
}
BROKEN_JSON = {
    "a key twice": b'{"a": 1, "a": 2}',
    "10^5 digits": b'{"a": ' + b"9" * 100_000 + b"}",
    "a number of 70 bits": b'{"a": ' + str(2**70).encode() + b"}",
    "half of a surrogate pair": b'{"a": "\\ud800"}',
    "nested deeply": b'{"a": ' + b"[" * 100_000,
    "many values": b'{"a": [' + b"1," * 50_000 + b"1]}",
    "a list": b"[]",
    "a number": b"1",
    "no text": b"\xff\xfe",
    "nothing": b"",
}
BROKEN = [("c.yaml", name, text) for name, text in BROKEN_YAML.items()]
BROKEN += [("c.json", name, text) for name, text in BROKEN_JSON.items()]


@pytest.mark.parametrize(("file", "name", "text"), BROKEN, ids=[f"{file} {name}" for file, name, _ in BROKEN])
def test_what_no_configuration_has_on_both_sides(tmp_path, file, name, text):
    path = tmp_path / file
    path.write_bytes(text)
    started = time.monotonic()
    with pytest.raises(InvalidTrainingConfigError, match=f"^{file} ") as caught:
        parse_config(text, file)
    assert len(str(caught.value)) < 400
    with pytest.raises(InvalidTrainingConfigError, match=file):
        read_config(path)
    assert time.monotonic() - started < PATIENCE_SEC


def test_a_long_key_above_many_values_costs_little(tmp_path):
    text = b'{"' + b"k" * 150_000 + b'": [' + b"1," * 15_000 + b"1]}"
    assert len(parse_config(text, "c.json")) == 1


def test_dates_stay_texts_and_numbers_numbers():
    document = read_document(
        b"a: 2024-01-01\nb: 1_000\nc: 0x10\nd: .inf\ne: =\nf: ~\n", "c.yaml", InvalidTrainingConfigError
    )
    assert document == {"a": "2024-01-01", "b": 1000, "c": 16, "d": float("inf"), "e": "=", "f": None}


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), 10**5000, 2**64, float("inf"), float("nan")], ids=lambda value: "number"
)
def test_huge_numbers_are_an_invalid_configuration(value):
    """Numbers that aren't finite floats, are too large, or can't be printed."""
    for key in ("learning_rate", "epochs", "batch_size"):
        with pytest.raises(InvalidTrainingConfigError, match=key):
            check_requested({key: value})
    for document in (
        {"trainer_config": {"optimizer": {"lr": value}}},
        {"trainer_config": {"max_epochs": value}},
        {"data_config": {"preprocessing": {"scale": value}}},
    ):
        with pytest.raises(InvalidTrainingConfigError, match="can't be"):
            filter_config(document, "c.yaml")


def test_an_old_profile_in_yaml_holds_what_can_be_passed_on():
    with pytest.raises(InvalidTrainingConfigError):
        parse_config(b"model: !!set {x}\noptimization: {}", "c.yaml")
    assert is_legacy(parse_config(b"model: {at: 2024-01-01}\noptimization: {}", "c.yaml"))
