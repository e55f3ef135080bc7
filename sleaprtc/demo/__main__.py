"""``python -m sleaprtc.demo``, which is also ``sleap-rtc demo``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from ..base.printable import printable
from ..commandline.numbers import FiniteRange
from ..commandline.run import run
from ..errors import EXIT_DONE, EXIT_JOB_FAILED
from .scenario import DEFAULT_EPOCHS, MAX_ERROR_PX, DemoOptions, DemoResult, run_demo

COLORS: Final = {
    "demo": "bright_white",
    "server": "magenta",
    "worker-1": "cyan",
    "worker-2": "blue",
    "client": "green",
}
NAME_WIDTH: Final = max(map(len, COLORS))


def make_narrator(*, colored: bool) -> Callable[[str, str], None]:
    """Returns a function that prints a part's line after the part's name."""

    def narrate(name: str, line: str) -> None:
        prefix = f"{name:{NAME_WIDTH}} |"
        shown = click.style(prefix, fg=COLORS.get(name)) if colored else prefix
        click.echo(f"{shown} {printable(line.expandtabs())}", color=colored)

    return narrate


async def interrupted_by_signal(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Raises KeyboardInterrupt on SIGINT, SIGTERM or SIGHUP, so that all parts are ended in order."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            raise KeyboardInterrupt


def report(result: DemoResult, folder: Path) -> None:
    """Prints the model's error and the paths of all results."""
    click.echo(
        f"\nThe {result.model_type} model's error is {result.error_px:.2f} pixels on "
        f"{result.held_out_frames} frames that it hasn't seen; it found "
        f"{result.found_nodes} of {result.true_nodes} points."
    )
    for title, path in [
        *(("model", model) for model in result.models),
        ("predictions", result.predictions),
        ("picture", result.picture),
        ("summary", str(folder / "summary.json")),
    ]:
        click.echo(f"  {title:12} {path}")
    if not result.is_good:
        click.echo(f"That is not good enough: the demo expects less than {MAX_ERROR_PX:g} pixels.", err=True)


async def demo(options: DemoOptions) -> int:
    """Runs the demo and returns its exit status."""
    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    async with trio.open_nursery() as nursery:  # a signal ends the demo, and so does a failure
        await nursery.start(interrupted_by_signal)
        result = await run_demo(options, make_narrator(colored=colored))
        nursery.cancel_scope.cancel()
    report(result, options.out_dir.absolute())
    return EXIT_DONE if result.is_good else EXIT_JOB_FAILED


@click.command()
@click.option("--model-type", type=click.Choice(list(DEFAULT_EPOCHS)), default="base", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs for each model; enough by default.")
@click.option(
    "--out", "out_dir", type=click.Path(path_type=Path), default=Path("sleap-rtc-demo"), show_default=True
)
@click.option("--seconds", "limit_sec", type=FiniteRange(min=1), default=900.0, show_default=True)
@click.option(
    "--trainer-python",
    default=sys.executable,
    show_default="this one",
    help="The Python in which sleap-nn is installed.",
)
def main(model_type: str, epochs: int | None, out_dir: Path, limit_sec: float, trainer_python: str) -> None:
    """Run everything on this machine with a small synthetic recording.

    The demo starts a server, two workers and a client as separate programs on 127.0.0.1. It trains a model
    with sleap-nn, and then measures it on frames that it hasn't seen.
    """
    options = DemoOptions(
        out_dir=out_dir,
        model_type=model_type,
        epochs=epochs,
        trainer_python=trainer_python,
        limit_sec=limit_sec,
    )
    run(partial(demo, options))


if __name__ == "__main__":
    main()
