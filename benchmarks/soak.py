"""``python -m benchmarks.soak``: many jobs while everything around them fails; losses must be 0."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import attrs
import click
import trio

from tests.faults.soak import Soak, Tally

from .report import machine


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _as_text(tally: Tally, minutes: float) -> str:
    lines = [
        f"## Soak, seed {tally.seed}, {minutes:g} minutes",
        "",
        machine(),
        "",
        "| what | count |",
        "|---|---:|",
        f"| jobs | {tally.jobs} |",
        f"| faults | {tally.faults.total()} |",
        *(f"| - {kind} | {count} |" for kind, count in sorted(tally.faults.items())),
        f"| completed, with the right bytes | {tally.completed} |",
        f"| failed, with a reason | {tally.failed.total()} |",
        *(f"| - {reason} | {count} |" for reason, count in sorted(tally.failed.items())),
        f"| losses | {len(tally.losses)} |",
        *(f"| - {loss} | |" for loss in tally.losses),
    ]
    return "\n".join(lines)


@click.command()
@click.option("--seed", type=int, default=lambda: secrets.randbelow(10**6), help="[default: any]")
@click.option("--minutes", type=click.FloatRange(0.1, 24 * 60), default=5.0, show_default=True)
@click.option("--workers", type=click.IntRange(1, 8), default=2, show_default=True)
@click.option("--clients", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--verbose", is_flag=True, help="Say on standard error what happens.")
@click.option("--json", "as_json", is_flag=True)
def main(seed: int, minutes: float, workers: int, clients: int, verbose: bool, as_json: bool) -> None:
    """Run jobs under faults; ends with status 1, and keeps the logs, where anything was lost."""
    folder = Path(tempfile.mkdtemp(prefix="sleap-rtc-soak-"))
    say = _to_stderr if verbose else (lambda _: None)
    soak = Soak(folder, seed=seed, minutes=minutes, workers=workers, clients=clients, say=say)
    tally = trio.run(soak.run)
    print(json.dumps(attrs.asdict(tally), indent=2) if as_json else _as_text(tally, minutes), flush=True)
    if tally.losses:
        print(f"The logs are in {folder}.", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
