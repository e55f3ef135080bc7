"""What peers publish of themselves: written for the wire, and read from whatever a peer sent."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.jobs.properties import (
    MAX_GPU_MEMORY_MB,
    MAX_PROBLEM_CHARS,
    MAX_SHOWN_PROBLEMS,
    TEXT_PROPERTIES,
    ClientProperties,
    WorkerProperties,
    as_json,
    problem_sentences,
    read_client,
    read_worker,
)
from sleaprtc.protocol.vocabulary import WorkerStatus

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "protocol.md"

texts = st.none() | st.text(max_size=8)
lists = st.none() | st.lists(st.text(max_size=4), max_size=3).map(tuple)
numbers = st.none() | st.integers(0, 100_000) | st.floats(0, 100_000)
counts = st.none() | st.integers(0, 64)
_OF_TYPE = {
    "str | None": texts,
    "tuple[str, ...] | None": lists,
    "float | None": numbers,
    "int | None": counts,
}


def values_of(cls: type) -> st.SearchStrategy:
    return st.builds(cls, **{field.name: _OF_TYPE[field.type] for field in attrs.fields(cls)})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
names = [field.name for cls in (WorkerProperties, ClientProperties) for field in attrs.fields(cls)]


@given(values_of(WorkerProperties))
def test_a_worker_is_read_as_it_was_written(properties):
    assert read_worker(json.loads(json.dumps(as_json(properties)))) == properties


@given(values_of(ClientProperties))
def test_a_client_is_read_as_it_was_written(properties):
    assert read_client(json.loads(json.dumps(as_json(properties)))) == properties


@given(st.dictionaries(st.sampled_from(names) | st.text(max_size=5), anything))
def test_whatever_a_peer_sends_can_be_read_and_written_again(said):
    for read in (read_worker, read_client):
        properties = read(said)
        assert read(as_json(properties)) == properties


def test_an_update_says_only_what_changes():
    assert as_json(WorkerProperties(status="busy")) == {"status": "busy"}
    assert as_json(WorkerProperties(problems=())) == {"problems": []}


@pytest.mark.parametrize(
    "memory", [-1, MAX_GPU_MEMORY_MB + 1, True, "24000", float("nan"), float("inf"), None]
)
def test_memory_that_no_gpu_has_is_not_known(memory):
    assert read_worker({"gpu_memory_mb": memory}).gpu_memory_mb is None


@pytest.mark.parametrize("said", [None, {}, {"another": 1}])
def test_a_peer_that_says_nothing_we_know(said):
    assert read_worker(said) == WorkerProperties()
    assert read_client(said) == ClientProperties()


def test_items_of_another_type_cost_only_themselves():
    assert read_worker({"features": ["attach/1", 2, None, "direct/1"]}).features == ("attach/1", "direct/1")


def test_a_strangers_problems_are_cut():
    shown = problem_sentences(["x" * 1000] * 100)
    assert shown == ("x" * MAX_PROBLEM_CHARS,) * MAX_SHOWN_PROBLEMS


def test_properties_that_look_like_numbers_are_still_texts():
    assert {"cuda_version", "sleap_version", "hostname", "user_id"} <= TEXT_PROPERTIES
    assert not {"gpu_memory_mb", "supported_models"} & TEXT_PROPERTIES


@pytest.mark.parametrize("cls", [WorkerProperties, ClientProperties])
def test_the_reference_names_every_property(cls):
    section = REFERENCE.read_text().partition("### Metadata")[2].partition("\n## ")[0]
    assert [field.name for field in attrs.fields(cls) if f"`{field.name}`" not in section] == []


@pytest.mark.parametrize("status", [None, 5, ["available"], ""])
def test_a_status_that_is_no_text_is_not_a_free_worker_s(status: object) -> None:
    assert read_worker({"status": status}).status not in (None, WorkerStatus.AVAILABLE)
    assert read_worker({}).status is None
