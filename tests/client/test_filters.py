"""What a person asks of a worker."""

import pytest

from sleaprtc.client.jobs.order.filters import WhichWorker, WorkerFilters, parse_condition, worker_filters
from sleaprtc.errors import InvalidFilterError, UsageError
from sleaprtc.protocol.features import ATTACH_FEATURE, EPHEMERAL_FEATURE, PURGE_FEATURE
from sleaprtc.protocol.messages import Metadata
from sleaprtc.rooms.filters import parse_filters


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("gpu_memory_mb>=8192", ("gpu_memory_mb", "$gte", 8192)),
        ("gpu_memory_mb <= 1e4", ("gpu_memory_mb", "$lte", 1e4)),
        ("status=available", ("status", "$eq", "available")),
        ("status==available", ("status", "$eq", "available")),
        ("status!=busy", ("status", "$ne", "busy")),
        ('cuda_version="11.8"', ("cuda_version", "$eq", "11.8")),
        ("gpu_model = NVIDIA RTX 4090", ("gpu_model", "$eq", "NVIDIA RTX 4090")),
        ("a>1", ("a", "$gt", 1)),
        ("cuda_version>=11.8", ("cuda_version", "$gte", "11.8")),
        ("sleap_version=0.3", ("sleap_version", "$eq", "0.3")),
        ("a<1", ("a", "$lt", 1)),
    ],
)
def test_conditions(text, condition):
    assert parse_condition(text) == condition


@pytest.mark.parametrize("text", ["", "gpu", ">=1", "a>=", "a b=1", "a>>3"])
def test_what_is_no_condition(text):
    with pytest.raises(UsageError, match="isn't a condition"):
        parse_condition(text)


def test_all_together():
    filters = worker_filters(
        min_gpu_memory_mb=8192, conditions=["gpu_memory_mb<20000", "status=available"], tags=["a100"]
    )
    assert filters.as_json() == {
        "role": "worker",
        "tags": ["sleap-rtc", "a100"],
        "properties": {
            "gpu_memory_mb": {"$gte": 8192, "$lt": 20000},
            "status": {"$eq": "available"},
        },
    }


def test_a_condition_twice():
    with pytest.raises(UsageError, match="same kind"):
        worker_filters(conditions=["a>=1", "a>=2"])


def finds(filters, *features):
    """Whether a discovery finds a worker with these features."""
    found = Metadata(tags=("sleap-rtc",), properties={"features": list(features)})
    return parse_filters(filters.as_json()).matches("worker", found)


@pytest.mark.parametrize(
    "given",
    [
        worker_filters(conditions=[f"features={PURGE_FEATURE}"]),
        WorkerFilters.parse({"properties": {"features": PURGE_FEATURE}}),
        WorkerFilters.parse({"properties": {"features": {"$eq": PURGE_FEATURE}}}),
        WorkerFilters.parse({"properties": {"features": {"$in": ["other/1", PURGE_FEATURE]}}}),
        WorkerFilters.parse({"properties": {"features": {"$gte": PURGE_FEATURE, "$ne": "other/1"}}}),
    ],
)
def test_a_demanded_feature_comes_on_top_of_a_person_s_conditions(given):
    filters = WhichWorker(given).that_keep_nothing().filters
    assert finds(filters, ATTACH_FEATURE, PURGE_FEATURE, EPHEMERAL_FEATURE)
    assert not finds(filters, ATTACH_FEATURE, PURGE_FEATURE)
    assert not finds(filters, ATTACH_FEATURE, EPHEMERAL_FEATURE)
    assert filters.with_feature(EPHEMERAL_FEATURE) == filters


def test_conditions_that_cannot_be_combined_are_not_dropped():
    filters = WorkerFilters.parse({"properties": {"features": {"$eq": "a/1", "$in": ["b/1"]}}})
    with pytest.raises(UsageError, match="too many conditions on features"):
        filters.with_feature(EPHEMERAL_FEATURE)


@pytest.mark.parametrize(
    "filters",
    [
        {"role": "worker"},
        {"tags": ["a100"]},
        {"role": "worker", "tags": ["a"], "properties": {"a": {"$gte": 1, "$lt": 2}, "b": {"$eq": {"c": 1}}}},
    ],
)
def test_filters_of_a_call_are_sent_as_they_are(filters):
    assert WorkerFilters.parse(filters).as_json() == filters


@pytest.mark.parametrize(
    "filters", [{"tags": "a100"}, {"role": 1}, {"properties": []}, {"properties": {"a": {"$near": 1}}}]
)
def test_filters_of_a_call_that_are_none(filters):
    with pytest.raises(InvalidFilterError):
        WorkerFilters.parse(filters)
