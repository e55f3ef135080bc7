"""What else is on the path during a transfer: pings, changes of the line, a TCP stream, another transfer."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext

from .path_bench import MOST_PROGRAMS_MBIT, STARTED_SEC, Bench
from .path_figures import Echo, RoundTrips, jains_index, round_trips
from .path_programs import Job
from .path_rivals import has_iperf, has_ping, pinging, run_iperf

DEEP_QUEUE_BDP = 4.0
"""Where a transfer that fills the queue would be felt most."""
CHANGE_EVERY_SEC = 10.0
RECOVERED_SEC = 3.0
AFTER_CHANGE_SEC = 5.0
LEAST_AFTER_CHANGE = 0.6
LENGTHENED_MS = (20.0, 80.0)
LENGTHENED_SEC = 15.0
SHARED_QUEUES_BDP = (1.0, 4.0)
SHARE_BESIDE_CUBIC = (0.2, 0.67)
HEAD_START_SEC = 10.0
ACKNOWLEDGED_SEC = 1.0
"""By then the client has heard of what arrived: on the slowest line, workers acknowledge every 0.4 s."""
LEAST_JAIN = 0.9


def rtt(bench: Bench) -> None:
    """Pings through the path during a transfer, from its third second on."""
    if not has_ping():
        bench.note("Left out: round trips, since ping isn't installed.")
        return
    for rtt_ms, mbit in bench.sizes.paths:
        if mbit > MOST_PROGRAMS_MBIT:
            continue
        name = bench.set_path(rtt_ms, mbit, DEEP_QUEUE_BDP)
        with bench.attempt(name):
            _add_round_trips(bench, f"{name}: from second 3 on", _round_trips_beside(bench))


def _round_trips_beside(bench: Bench) -> RoundTrips | None:
    line_sec = max(bench.sizes.line_sec, 2 * STARTED_SEC)
    with (
        bench.programs() as programs,
        pinging(bench.path) as echoes,
        programs.job(bench.dataset(line_sec)) as job,
    ):
        began_sec = job.wait_for_first_byte()
        job.wait(lambda: job.to_worker.is_whole, bench.patience_sec(line_sec))
        return round_trips(echoes, began_sec + STARTED_SEC, job.to_worker.ended_sec)


def changes(bench: Bench) -> None:
    """Changes the line's rate, and then the path's length, during a transfer."""
    if not has_ping():
        bench.note("Left out: round trips after a change, since ping isn't installed.")
    with bench.attempt("the line halves and doubles"):
        _change_rate(bench)
    with bench.attempt("the path becomes longer"):
        _change_length(bench)


def cubic(bench: Bench) -> None:
    """Shares the line with one TCP stream, which begins once our first byte is on its way."""
    if not has_iperf():
        bench.note("Left out: the share beside CUBIC, since iperf3 isn't installed.")
        return
    for queue_bdp in SHARED_QUEUES_BDP:
        name = bench.set_path(*bench.sizes.paths[0], queue_bdp)
        with bench.attempt(f"{name}: beside CUBIC"):
            _share_with_cubic(bench, name)


def _share_with_cubic(bench: Bench, name: str) -> None:
    seconds = bench.sizes.beside_sec
    with bench.programs() as programs, programs.job(bench.dataset(seconds)) as job:
        job.wait_for_first_byte()
        rival = run_iperf(bench.path, seconds=seconds)
        job.wait_until(rival.ended_sec + ACKNOWLEDGED_SEC)
        ours = job.to_worker.rate_between(rival.began_sec, rival.ended_sec)
    both = ours + rival.bytes_per_sec
    share, (low, high) = ours / both, SHARE_BESIDE_CUBIC
    title = f"{name}: our share beside CUBIC, {seconds} s"
    bench.say(f"{title}: {share:.2f}")
    bench.add(title, share, "of both", at_least=low)
    bench.add(title, share, "of both", at_most=high)
    bench.add(f"{name}: both together", both / bench.line, "of the line")


def two(bench: Bench) -> None:
    """Runs two jobs for two workers; the second client is started 10 s after the first one's first byte."""
    for queue_bdp in SHARED_QUEUES_BDP:
        name = bench.set_path(*bench.sizes.paths[0], queue_bdp)
        with bench.attempt(f"{name}: two of ours"):
            _share_with_another(bench, name)


def _share_with_another(bench: Bench, name: str) -> None:
    seconds, workers = bench.sizes.beside_sec, ("worker-1", "worker-2")
    dataset = bench.dataset(seconds + 2 * HEAD_START_SEC)
    with bench.programs(*workers) as programs, programs.job(dataset, worker=workers[0]) as first:
        first.wait_until(first.wait_for_first_byte() + HEAD_START_SEC)
        with programs.job(dataset, worker=workers[1]) as second:
            rates = _rates_of_both(first, second, seconds)
    title = f"{name}: two of ours, the second 10 s later, Jain's index over {seconds} s"
    bench.say(f"{title}: {rates}")
    bench.add(title, jains_index(rates), "", at_least=LEAST_JAIN)
    bench.add(f"{name}: two of ours together", sum(rates) / bench.line, "of the line")


def _rates_of_both(first: Job, second: Job, seconds: float) -> tuple[float, float]:
    """Returns the rates from the second's first byte on, until ``seconds`` later or the end of either."""
    began_sec = second.wait_for_first_byte()
    until_sec = began_sec + seconds
    for job in (first, second):
        job.wait_until(until_sec + ACKNOWLEDGED_SEC)
    to_sec = min([until_sec, *(job.to_worker.ended_sec for job in (first, second) if job.to_worker.is_whole)])
    return (
        first.to_worker.rate_between(began_sec, to_sec),
        second.to_worker.rate_between(began_sec, to_sec),
    )


# --- changes ----------------------------------------------------------------------------------


def _change_rate(bench: Bench) -> None:
    rtt_ms, mbit = bench.sizes.paths[0]
    name = bench.set_path(rtt_ms, mbit, DEEP_QUEUE_BDP)
    with (
        bench.programs() as programs,
        _pinging_if_possible(bench) as echoes,
        programs.job(bench.dataset(4 * CHANGE_EVERY_SEC)) as job,
    ):
        job.wait_until(job.wait_for_first_byte() + CHANGE_EVERY_SEC)
        for what, new_mbit in (("halves", mbit / 2), ("doubles", mbit)):
            bench.path.change(mbit=new_mbit)
            changed_sec = time.time()
            job.wait_until(changed_sec + CHANGE_EVERY_SEC)
            rate = job.to_worker.rate_between(changed_sec, changed_sec + AFTER_CHANGE_SEC)
            title = f"{name}, the line {what}"
            _add_share(bench, f"{title}: in the {AFTER_CHANGE_SEC:g} s after it", rate)
            found = round_trips(echoes, changed_sec + RECOVERED_SEC, changed_sec + CHANGE_EVERY_SEC)
            _add_round_trips(bench, f"{title}: from {RECOVERED_SEC:g} s after it on", found)


def _change_length(bench: Bench) -> None:
    before_ms, after_ms = LENGTHENED_MS
    name = bench.set_path(before_ms, bench.sizes.paths[0][1], DEEP_QUEUE_BDP)
    dataset = bench.dataset(CHANGE_EVERY_SEC + LENGTHENED_SEC + AFTER_CHANGE_SEC)
    with bench.programs() as programs, programs.job(dataset) as job:
        job.wait_until(job.wait_for_first_byte() + CHANGE_EVERY_SEC)
        bench.path.change(rtt_ms=after_ms)
        by_sec = time.time() + LENGTHENED_SEC
        job.wait_until(by_sec + ACKNOWLEDGED_SEC)
        rate = job.to_worker.rate_between(by_sec - AFTER_CHANGE_SEC, by_sec)
    begin = f"{LENGTHENED_SEC - AFTER_CHANGE_SEC:g}"
    title = f"{name}, then {after_ms:g} ms: {begin} to {LENGTHENED_SEC:g} s after it"
    _add_share(bench, title, rate)


def _pinging_if_possible(bench: Bench) -> AbstractContextManager[list[Echo]]:
    return pinging(bench.path) if has_ping() else nullcontext([])


def _add_share(bench: Bench, name: str, rate: float) -> None:
    share = rate / bench.line
    bench.say(f"{name}: {share:.2f} of the line")
    bench.add(name, share, "of the line", at_least=LEAST_AFTER_CHANGE)


def _add_round_trips(bench: Bench, name: str, found: RoundTrips | None) -> None:
    if found is None:
        return
    bench.say(f"{name}: {found}")
    bench.add(f"{name}: round trip, median", found.median_ms, "ms", at_most=found.most_median_ms)
    bench.add(f"{name}: round trip, 95th percentile", found.high_ms, "ms", at_most=found.most_high_ms)
