"""What a person asks of a worker."""

import pytest

from sleaprtc.client.jobs.order.filters import parse_condition, worker_filters
from sleaprtc.errors import UsageError


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
    with pytest.raises(UsageError, match="no condition"):
        parse_condition(text)


def test_all_together():
    filters = worker_filters(
        min_gpu_memory_mb=8192, conditions=["gpu_memory_mb<20000", "status=available"], tags=["a100"]
    )
    assert filters == {
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
