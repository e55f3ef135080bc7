"""docs/reference/retries.md has everything that retries, waits or gives up, with the code's times."""

from __future__ import annotations

import ast
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "retries.md"
WAITING_ROOMS = (
    *("access", "base", "client/jobs", "jobs", "protocol", "rtc", "server", "signaling", "storage"),
    *("transfer", "worker"),
)
"""Where a new time is either on the page or below."""

NO_WAITS = {
    "sleaprtc.base.byte_rates.LEAST_BYTES_PER_SEC": "the range of an option",
    "sleaprtc.base.byte_rates.MOST_BYTES_PER_SEC": "the range of an option",
    "sleaprtc.base.limited_log.OMISSIONS_PER_SEC": "a rate of log lines",
    "sleaprtc.jobs.estimate.CPU_SEC_PER_FRAME_EPOCH": "an estimate",
    "sleaprtc.jobs.estimate.CPU_SEC_PER_PREDICTED_FRAME": "an estimate",
    "sleaprtc.jobs.estimate.GPU_SEC_PER_FRAME_EPOCH": "an estimate",
    "sleaprtc.jobs.estimate.GPU_SEC_PER_PREDICTED_FRAME": "an estimate",
    "sleaprtc.jobs.estimate.OVERHEAD_SEC": "an estimate",
    "sleaprtc.jobs.hold_budget.LEAST_HOLD_SEC": "a shorter hold isn't given",
    "sleaprtc.protocol.limits.ENDED_ROOM_MEMORY_SEC": "what the server remembers",
    "sleaprtc.protocol.limits.HEARD_MESSAGES_PER_SEC": "a rate",
    "sleaprtc.protocol.limits.ID_TOKEN_TTL_SEC": "life of a token",
    "sleaprtc.protocol.limits.MAX_DURATION_SEC": "the range of a number",
    "sleaprtc.protocol.limits.MAX_MESSAGES_PER_SEC": "a rate",
    "sleaprtc.protocol.limits.MAX_REFUSED_MESSAGES_PER_SEC": "a rate",
    "sleaprtc.protocol.limits.ROOMS_PER_SEC": "a rate",
    "sleaprtc.protocol.limits.SIGN_INS_PER_SEC": "a rate",
    "sleaprtc.protocol.limits.WRONG_TOKENS_PER_SEC": "a rate",
    "sleaprtc.server.__main__.MAX_ROOM_TTL_SEC": "the range of an option",
    "sleaprtc.server.accepting.REPORTS_PER_SEC": "a rate of log lines",
    "sleaprtc.server.peer_log.LINES_PER_SEC": "a rate of log lines",
    "sleaprtc.transfer.arrival.MIN_BYTES_PER_SEC": "a rate; its window is on the page",
    "sleaprtc.transfer.rate_limit.BURST_SEC": "a part of a rate",
    "sleaprtc.transfer.rate_limit.LEAD_SEC": "a part of a rate",
    "sleaprtc.transfer.rate_limit.MESSAGES_A_SEC": "a rate",
    "sleaprtc.worker.__main__.SECONDS_A_DAY": "a unit",
    "sleaprtc.worker.agent.ALL_LINES_PER_SEC": "a rate of log lines",
    "sleaprtc.worker.agent.LINES_PER_SEC": "a rate of log lines",
    "sleaprtc.worker.jobs.inputs.PROGRESS_INTERVAL_SEC": "how often progress is reported",
    "sleaprtc.worker.journal.recovery.MAX_DRIFT_SEC": "what counts as a clock that was set",
    "sleaprtc.worker.sleap_nn.process.limits.SECONDS_AN_HOUR": "a unit",
    "sleaprtc.worker.sleap_nn.runner.prediction.LATER_REPORT_INTERVAL_SEC": "how often progress is reported",
    "sleaprtc.worker.sleap_nn.runner.prediction.REPORT_INTERVAL_SEC": "how often progress is reported",
    "sleaprtc.worker.sleap_nn.runner.report.PICTURES_SEC": "a part of the report, see docs/architecture.md",
    "sleaprtc.worker.sleap_nn.runner.training.MAX_LOOKING_SEC": "the search for a broken image",
    "sleaprtc.worker.sleap_nn.runner.validation.MAX_COMPARING_SEC": "the search for frames in both sets",
    "sleaprtc.transfer.flow.MOST_UNSENT_SEC": "what waits in the engine",
    "sleaprtc.transfer.flow.UNSENT_SEC": "what waits in the engine",
    "sleaprtc.transfer.path_window.BEST_RATE_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.COMPETED_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.COMPETING_FLIGHT_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.COMPETING_RTT_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.IDLE_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.LEAST_QUEUE_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.LEAST_RTT_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.LOCAL_QUEUE_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.LOCAL_RTT_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.LOOK_AGAIN_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.MESSAGE_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.MOST_OWN_QUEUE_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.RTT_BUCKET_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.MOST_JITTER_SEC": "what the window is reckoned by",
    "sleaprtc.transfer.path_window.STANDING_SEC": "what the window is reckoned by",
}
"""Constants with a time in their name for which nothing waits, and what they are."""

_ROW = re.compile(r"(?m)^\| [^|]+ \| ([^|]+) \| `(sleaprtc[\w.]+)` \|$")
_TIME = re.compile(r"\d[\d,.]*\s*(?:ms|s|sec|seconds?|min|minutes?|h|hours?|days?)\b")
_TIMED = re.compile(r"_SEC(?:_|$)|^SECONDS_|_MINUTES$|_HOURS$|_DAYS$")


def written(value: object) -> str:
    """A value with its unit, as the page has it."""
    if isinstance(value, tuple):
        return " to ".join(map(written, value))
    if isinstance(value, int) and value < 5:
        return f"{value} times"
    assert isinstance(value, int | float)
    if value >= 3600 and value % 3600 == 0:
        return f"{value / 3600:g} h"
    if value >= 120 and value % 60 == 0:
        return f"{value / 60:g} min"
    return f"{value:g} s"


def rows() -> dict[str, str]:
    """The page's times, by their constants."""
    return {constant: time for time, constant in _ROW.findall(PAGE.read_text())}


def test_each_time_is_the_code_s() -> None:
    found = rows()
    assert len(found) > 80
    wrong = {name: time for name, time in found.items() if written(pkgutil.resolve_name(name)) != time}
    assert wrong == {}


def test_no_time_stands_outside_of_the_tables() -> None:
    prose = _ROW.sub("", PAGE.read_text())
    assert _TIME.findall(prose) == []
    assert len(re.findall(r"(?m)^\| .*`sleaprtc\.", PAGE.read_text())) == len(_ROW.findall(PAGE.read_text()))


def times_in(module: Path) -> list[str]:
    """The constants of a module that have a time in their name."""
    dotted = ".".join(module.relative_to(ROOT).with_suffix("").parts)
    targets = [
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.AnnAssign | ast.Assign)
    ]
    names = [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
    return [f"{dotted}.{name}" for name in names if _TIMED.search(name)]


def test_every_time_that_something_waits_for_is_there() -> None:
    """A new constant gets a row on the page; one for which nothing waits is listed above."""
    in_code = {
        name
        for room in WAITING_ROOMS
        for module in sorted((ROOT / "sleaprtc" / room).rglob("*.py"))
        for name in times_in(module)
    }
    assert len(in_code) > 80
    assert in_code - rows().keys() - NO_WAITS.keys() == set()
    assert NO_WAITS.keys() - in_code == set()
    assert NO_WAITS.keys() & rows().keys() == set()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "0.05 s"), (60.0, "60 s"), (90, "90 s"), (120.0, "2 min"), (7200, "2 h"), (2, "2 times")],
)
def test_a_time_is_written_with_its_unit(value: float, text: str) -> None:
    assert written(value) == text
