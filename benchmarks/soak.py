"""``python -m benchmarks.soak``: runs many jobs while faults are injected; no job may be lost."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click
import trio

from tests.faults.soak.faults import KINDS
from tests.faults.soak.run import Soak
from tests.faults.soak.summary import as_table

from .report import machine

INTERRUPTED_STATUS = 130
_KIND = click.Choice([kind.name for kind in KINDS])


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


async def _run_until_signal(soak: Soak) -> None:
    """Runs a soak; SIGINT and SIGTERM end it early, with the usual cleanup."""
    async with trio.open_nursery() as nursery:

        async def wait_for_signal() -> None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        nursery.start_soon(wait_for_signal)
        await soak.run()
        nursery.cancel_scope.cancel()


@click.command()
@click.option("--seed", type=int, default=lambda: secrets.randbelow(10**6), help="[default: any]")
@click.option("--minutes", type=click.FloatRange(0.1, 24 * 60), default=5.0, show_default=True)
@click.option("--workers", type=click.IntRange(1, 8), default=2, show_default=True)
@click.option("--clients", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--only", multiple=True, type=_KIND, help="Only this kind of fault; repeatable.")
@click.option("--without", multiple=True, type=_KIND, help="Not this kind of fault; repeatable.")
@click.option("--no-faults", is_flag=True, help="Inject no faults, to see what grows by itself.")
@click.option("--no-root", is_flag=True, help="Leave out faults that need root, even if run as root.")
@click.option("--keep", is_flag=True, help="Keep the logs in any case.")
@click.option("--verbose", is_flag=True, help="Report on standard error what happens.")
@click.option("--json", "as_json", is_flag=True)
def main(
    seed: int,
    minutes: float,
    workers: int,
    clients: int,
    only: tuple[str, ...],
    without: tuple[str, ...],
    no_faults: bool,
    no_root: bool,
    keep: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run jobs under faults.

    Exits with status 1, and keeps the logs, if anything was lost, null, wrong or late. Exits with status 130
    if it was interrupted.
    """
    folder = Path(tempfile.mkdtemp(prefix="sleap-rtc-soak-"))
    soak = Soak(
        folder,
        seed=seed,
        minutes=minutes,
        workers=workers,
        clients=clients,
        use_root=not no_root,
        only=only,
        without=tuple(kind.name for kind in KINDS) if no_faults else without,
        say=_to_stderr if verbose else lambda _: None,
    )
    is_over = False
    try:
        trio.run(_run_until_signal, soak)
        is_over = True
    finally:
        if keep or not is_over or soak.tally.losses:
            print(f"The logs are in {folder}.", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    tally = soak.tally
    print(json.dumps(tally.as_json(), indent=2) if as_json else as_table(tally, machine()), flush=True)
    if tally.was_interrupted:
        sys.exit(INTERRUPTED_STATUS)
    sys.exit(0 if tally.is_clean else 1)


if __name__ == "__main__":
    main()
