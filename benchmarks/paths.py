"""``python -m benchmarks.paths``: the programs over a long path, beside iperf3 and magic-wormhole.

A real server, worker and client, with an emulated line between two network namespaces. Needs root, ``ip`` and
/dev/net/tun; otherwise it says so and ends. Lines too fast for whole jobs are measured with two processes
that only transfer a file; their rows say "a pair".
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import attrs

from .emulation import PathSettings, missing_for_emulation, open_path
from .path_alone import alone, loss, magic_wormhole
from .path_bench import FULL, QUICK, Bench, Sizes
from .path_beside import changes, cubic, rtt, two
from .path_rivals import give_tcp_buffers, has_iperf
from .report import Report

PARTS = {
    "alone": alone,
    "rtt": rtt,
    "changes": changes,
    "cubic": cubic,
    "two": two,
    "loss": loss,
    "wormhole": magic_wormhole,
}


INTERRUPTED_STATUS = 130


def main() -> None:
    """Measures the parts that the command line names, and prints the report.

    Exits with status 1 if anything couldn't be measured, and with 130 after SIGINT or SIGTERM, which end it
    early.
    """
    given = _parser().parse_args()
    if (reason := missing_for_emulation()) is not None:
        print(f"Nothing was measured: {reason}.", file=sys.stderr)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report("Long paths")
    if not has_iperf():
        report.notes.append("Left out: all comparisons with TCP, since iperf3 isn't installed.")
    try:
        status = _measure(report, _sizes(given), _engine(given.engine), given.only or list(PARTS))
    except KeyboardInterrupt:
        report.notes.append("It was interrupted.")
        status = INTERRUPTED_STATUS
    report.show(as_json=given.json)
    sys.exit(status)


def _measure(report: Report, sizes: Sizes, engine: str, parts: Sequence[str]) -> int:
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder,
        open_path(PathSettings(*sizes.paths[0])) as path,
    ):
        give_tcp_buffers(path)
        bench = Bench(report, sizes, engine, path, Path(folder))
        for part in parts:
            print(f"{part} …", file=sys.stderr, flush=True)
            PARTS[part](bench)
        return int(bench.has_failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paths", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="less of everything, once")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument(
        "--engine", choices=("aiortc", "libwebrtc"), help="the default is libwebrtc, if installed"
    )
    parser.add_argument("--pairs", type=int, metavar="N", help="how many alternating pairs")
    parser.add_argument(
        "--seconds", type=float, help="a transfer's bytes: what the line carries in this time"
    )
    parser.add_argument(
        "--path",
        action="append",
        type=_round_trip_and_rate,
        metavar="MS/MBIT",
        help="only this round trip and rate; may be repeated",
    )
    return parser


def _round_trip_and_rate(text: str) -> tuple[float, float]:
    rtt_ms, mbit = text.split("/")
    return float(rtt_ms), float(mbit)


def _sizes(given: argparse.Namespace) -> Sizes:
    sizes = QUICK if given.quick else FULL
    return attrs.evolve(
        sizes,
        pairs=given.pairs or sizes.pairs,
        line_sec=given.seconds or sizes.line_sec,
        paths=tuple(given.path or sizes.paths),
    )


def _engine(wanted: str | None) -> str:
    if wanted is not None:
        return wanted
    return "libwebrtc" if find_spec("webrtc") else "aiortc"


if __name__ == "__main__":
    main()
