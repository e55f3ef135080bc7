"""Makes the pictures in ``pictures/`` from a real training.

``python docs/make_pictures.py --trainer-python PYTHON`` trains a top-down model on a small recording, with a
server, a worker and a client on 127.0.0.1. It keeps what the terminal shows during the training and at its
end, and the report's own pictures.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import trio
from rich.console import Console

from sleaprtc.access.place import ConnectionOptions, PeerOptions
from sleaprtc.client.display.live import TerminalDisplay, open_terminal_display
from sleaprtc.client.display.plain import show_common
from sleaprtc.client.events.job import Completed, Event, StatusChanged
from sleaprtc.client.jobs.train import train_on_a_worker
from sleaprtc.signaling.http import Endpoints, open_http

PROJECT: Final = Path(__file__).resolve().parent.parent
FLIES_SCRIPT: Final = PROJECT / "sleaprtc" / "demo" / "flies.py"
PICTURES: Final = Path(__file__).with_name("pictures")
COLUMNS, ROWS = 100, 24
COMMAND: Final = "$ sleap-rtc client train flies.pkg.slp --epochs {epochs}"
SHOWN_PROGRESS: Final = 0.85
"""When the picture of the running training is taken: both models have curves by then."""

MAX_PICTURES_BYTES: Final = 300_000
EXIT_SEC: Final = 15


@contextmanager
def program(ready: str, *arguments: str, **environment: str) -> Iterator[str]:
    """Runs one of the programs until the block is left; yields the line that says it's ready."""
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    ) as process:
        try:
            assert process.stdout is not None
            yield next(line for line in process.stdout if ready in line)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(EXIT_SEC)
            except subprocess.TimeoutExpired:
                process.kill()


def picture(path: Path, title: str, *parts: object) -> None:
    """Writes what a terminal shows as an SVG."""
    console = Console(
        record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True, highlight=False, markup=False
    )
    console.print(*parts, sep="\n")
    path.write_text(console.export_svg(title=title, unique_id="terminal"))


class Photographer:
    """Shows events on a display, and takes pictures of it."""

    def __init__(self, display: TerminalDisplay, epochs: int) -> None:
        self._display = display
        self._command = COMMAND.format(epochs=epochs)
        self._is_taken = False

    def see(self, event: Event) -> None:
        """Shows an event."""
        self._display.show(event)
        if isinstance(event, StatusChanged) and event.progress >= SHOWN_PROGRESS and not self._is_taken:
            self._is_taken = True
            shown = self._display.render(COLUMNS, ROWS)
            picture(PICTURES / "training.svg", "a training", self._command, shown)

    def show_end(self, completed: Completed, folder: Path) -> None:
        """Takes the picture of a finished training."""
        lines = Console(
            file=io.StringIO(), width=COLUMNS, force_terminal=False, highlight=False, markup=False
        )
        show_common(lines, completed)
        assert isinstance(lines.file, io.StringIO)
        text = lines.file.getvalue().replace(f"{folder}/", "").rstrip()
        picture(PICTURES / "trained.svg", "a finished training", self._command, text)


async def train(endpoints: Endpoints, dataset: Path, folder: Path, python: str, epochs: int) -> Completed:
    """Trains with one worker, and takes pictures meanwhile."""
    async with open_http(endpoints.http_url) as http:
        room = await http.create_room(await http.sign_in())
    options = PeerOptions(endpoints, room, ConnectionOptions(ice_loopback=True))
    console = Console(file=io.StringIO(), width=COLUMNS, height=ROWS, force_terminal=True)
    credentials = {
        "SLEAP_RTC_SIGNALING_WS": endpoints.ws_url,
        "SLEAP_RTC_SIGNALING_HTTP": endpoints.http_url,
        "SLEAP_RTC_ROOM_ID": room.room_id,
        "SLEAP_RTC_TOKEN": room.token,
        "SLEAP_RTC_ICE_LOOPBACK": "1",
    }
    worker = ("sleaprtc.worker", "--name", "gpu-box", "--work-dir", str(folder / "worker"))
    with (
        program("waits for jobs", *worker, "--trainer-python", python, **credentials),
        open_terminal_display(console) as display,
    ):
        photographer = Photographer(display, epochs)
        out_dir = folder / "models"
        settings = {"model_type": "topdown", "epochs": epochs}
        completed = await train_on_a_worker(
            dataset, out_dir=out_dir, options=options, settings=settings, emit=photographer.see
        )
    photographer.show_end(completed, folder)
    return completed


def make_dataset(python: str, folder: Path) -> Path:
    """Renders a recording of two flies."""
    command = [python, str(FLIES_SCRIPT), str(folder), "--flies", "2", "--frames", "64"]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    dataset = folder / "flies.pkg.slp"
    Path(json.loads(made.stdout)["training"]).rename(dataset)
    return dataset


def main() -> None:
    """Reads the options and makes the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trainer-python", default=sys.executable, help="where sleap-nn is installed")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sleap-rtc-pictures-")))
        os.environ["SLEAP_RTC_STATE_DIR"] = str(folder / "state")
        dataset = make_dataset(options.trainer_python, folder)
        server = ("sleaprtc.server", "--ws-port", "0", "--http-port", "0")
        ready = stack.enter_context(program("ready", *server, "--state-dir", str(folder / "server")))
        addresses = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        PICTURES.mkdir(exist_ok=True)
        endpoints = Endpoints(addresses["ws"], addresses["http"])
        completed = trio.run(train, endpoints, dataset, folder, options.trainer_python, options.epochs)
        report = completed.report[-1]
        for path in map(Path, report.pictures):
            shutil.copyfile(path, PICTURES / path.name)
    size_bytes = sum(path.stat().st_size for path in PICTURES.iterdir())
    print(f"{PICTURES}: {size_bytes:,} bytes, {time.monotonic() - began:.0f} seconds")
    if size_bytes > MAX_PICTURES_BYTES:
        sys.exit("The pictures are too large to be kept beside the documentation.")


if __name__ == "__main__":
    main()
