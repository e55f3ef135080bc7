"""`python -m benchmarks.paths`: how it reads its figures, and a small run of it as root."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.emulation import missing_for_emulation
from benchmarks.path_figures import Echo, Trace, jains_index, round_trips

from ..support.system_packages import needs
from .processes import ROOT
from .soak.network import NAMESPACES

needs_emulation = pytest.mark.skipif(
    missing_for_emulation() is not None, reason=f"no emulation: {missing_for_emulation()}"
)
LIMIT_SEC = 600


def run_benchmark(*words, **variables):
    """Runs the benchmark to its end; returns its pid and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.paths", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **variables},
    )
    try:
        out, err = process.communicate(timeout=LIMIT_SEC)
    finally:
        process.terminate()
    return process, out, err


# --- figures --------------------------------------------------------------------------------


@pytest.fixture
def trace():
    trace = Trace()
    for at_sec, byte_count in ((100, 0), (102, 200), (103, 600)):
        trace.add(at_sec, byte_count, 600)
    return trace


def test_a_rate_is_from_the_first_byte_to_the_last(trace):
    assert trace.is_whole
    assert trace.bytes_per_sec == 200


def test_a_rate_between_two_times_is_read_off_between_entries(trace):
    assert trace.rate_between(101, 102.5) == (400 - 100) / 1.5


def test_nothing_arrives_before_the_begin_or_after_the_end(trace):
    assert trace.rate_between(90, 100) == 0
    assert trace.rate_between(103, 110) == 0


def test_a_transfer_that_has_not_begun_is_not_whole():
    assert not Trace().has_begun
    assert not Trace().is_whole


def test_a_resumed_transfer_counts_only_its_own_bytes():
    trace = Trace()
    trace.add(10, 500, 1000)
    trace.add(15, 1000, 1000)
    assert trace.bytes_per_sec == 100


def test_round_trips_are_held_against_the_least_of_all_pings():
    echoes = [Echo(1, 20.0), *(Echo(5 + number, 22.0 + number) for number in range(20)), Echo(99, 900.0)]
    found = round_trips(echoes, 4, 50)
    assert (found.least_ms, found.median_ms, found.high_ms) == (20, 31.5, 40)
    assert (found.most_median_ms, found.most_high_ms) == (30, 45)


def test_a_long_path_may_double_its_round_trip():
    found = round_trips([Echo(1, 80.0)], 0, 2)
    assert found.most_high_ms == 160


def test_without_pings_there_are_no_round_trips():
    assert round_trips([Echo(1, 80.0)], 2, 3) is None


@pytest.mark.parametrize(("rates", "index"), [((5, 5), 1.0), ((7, 0), 0.5), ((0, 0), 0.0), ((1, 3), 0.8)])
def test_jains_index(rates, index):
    assert jains_index(rates) == index


# --- the command ----------------------------------------------------------------------------


def test_it_says_in_one_sentence_why_it_cannot_measure(tmp_path):
    """Here because there is no `ip`; root or not."""
    process, out, err = run_benchmark(PATH=str(tmp_path))
    assert process.returncode == 0
    assert out == ""
    assert err.startswith("Nothing was measured: ")
    assert err.endswith(".\n")
    assert err.count("\n") == 1


@needs_emulation
@needs("ip", "iproute2")
@needs("iperf3", "iperf3")
@needs("ping", "iputils-ping")
def test_it_measures_the_programs_over_a_path_and_leaves_nothing(tmp_path):
    size = ("--path", "20/20", "--seconds", "0.15", "--pairs", "1")
    process, out, err = run_benchmark("--only", "alone", "--json", *size, TMPDIR=str(tmp_path))
    assert process.returncode == 0, err
    rows = {row["name"]: row["value"] for row in json.loads(out)["rows"]}
    for queue in ("0.25", "1", "4"):
        for way in ("client → worker", "worker → client"):
            names = [name for name in rows if name.endswith(f"queue {queue} BDP: {way}")]
            assert [rows[name] > 0 for name in names] == [True]
    assert list(tmp_path.iterdir()) == []
    assert list(NAMESPACES.glob(f"path{process.pid}?")) == []
