"""Plays a new user's first ten minutes and writes them to ``first-ten-minutes.md``.

``python docs/make_first_ten_minutes.py --trainer-python PYTHON`` runs every command for real, on 127.0.0.1: a
server, a worker, and a laptop with its own home folder. Their output is written down unchanged, except that
the temporary folder becomes ``~``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parent.parent
FLIES_SCRIPT: Final = PROJECT / "sleaprtc" / "demo" / "flies.py"
TARGET: Final = Path(__file__).with_name("first-ten-minutes.md")
INVITE: Final = re.compile(r"sleap-rtcs?://[^\s']+")
START_SEC: Final = 120
COMMAND_SEC: Final = 600
A_FEW_EPOCHS_SEC: Final = 20
COLUMNS: Final = 100


class Transcript:
    """Markdown with what was typed and what was printed."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._replacements: list[tuple[str, str]] = []

    def replace(self, text: str, by: str) -> None:
        """Writes ``by`` wherever ``text`` was printed."""
        self._replacements.append((text, by))

    def say(self, text: str) -> None:
        """Adds a paragraph."""
        self._parts.append(text)

    def show(self, prompt: str, command: str, output: str) -> None:
        """Adds a command and its output."""
        lines = [f"{prompt}$ {command}", *(line.rstrip() for line in output.splitlines())]
        text = "\n".join(map(self._replaced, lines))
        self._parts.append(f"```console\n{text.rstrip()}\n```")

    def _replaced(self, line: str) -> str:
        for found, by in self._replacements:
            padding = " " * (len(found) - len(by)) if "│" in line else ""  # a table's columns stay
            line = re.sub(rf"{re.escape(found)}(\S*)", rf"{by}\g<1>{padding}", line)
        return line

    def text(self) -> str:
        """Returns all of it."""
        return "\n\n".join(self._parts) + "\n"


class Machine:
    """A computer of the story: a home folder and an environment."""

    def __init__(self, prompt: str, home: Path, transcript: Transcript, env: dict[str, str]) -> None:
        self.prompt = prompt
        self.home = home
        home.mkdir(parents=True)
        self._transcript = transcript
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        bin_dir = str(Path(sys.executable).parent)
        self._env = {
            **kept,
            "PATH": f"{bin_dir}:{kept.get('PATH', '')}",
            "HOME": str(home),
            "COLUMNS": str(COLUMNS),
            "OMP_NUM_THREADS": "1",
            **env,
        }

    def run(self, command: str, *, expect: int = 0) -> str:
        """Runs a command to its end, and records it."""
        print(f"{self.prompt}$ {command}", flush=True)
        ended = subprocess.run(
            shlex.split(command),
            cwd=self.home,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SEC,
        )
        if ended.returncode != expect:
            sys.exit(f"{command}: exit status {ended.returncode} rather than {expect}\n{ended.stdout}")
        self._transcript.show(self.prompt, command, ended.stdout)
        return ended.stdout

    @contextmanager
    def running(self, command: str, is_ready: Callable[[str], bool]) -> Iterator[str]:
        """Runs a program while the block runs, and records what it prints until it is ready."""
        print(f"{self.prompt}$ {command}", flush=True)
        log = self.home / f".{command.split()[1]}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=self.home,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + START_SEC
            while not is_ready(said := log.read_text()):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command} doesn't get ready:\n{said}")
                time.sleep(0.1)
            self._transcript.show(self.prompt, command, said)
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def record_flies(trainer_python: str, folder: Path) -> dict[str, str]:
    """Makes labels of two flies, and others that are held out."""
    made = subprocess.run(
        [
            trainer_python,
            str(FLIES_SCRIPT),
            str(folder),
            "--flies",
            "2",
            "--frames",
            "48",
            "--held-out",
            "12",
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    packages: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
    return packages


def play(folder: Path, trainer_python: str, stack: ExitStack, transcript: Transcript) -> None:
    """Runs everything, in order."""
    common = {"SLEAP_RTC_ICE_LOOPBACK": "1"}
    gpu_box = Machine("gpu-box", folder / "gpu-box", transcript, common)
    laptop = Machine("laptop", folder / "laptop", transcript, common)
    transcript.replace(str(gpu_box.home), "~")
    transcript.replace(str(laptop.home), "~")
    transcript.replace(trainer_python, "~/sleap/bin/python")
    transcript.replace(str(Path(sys.executable).parent), "~/sleap-rtc/bin")
    packages = record_flies(trainer_python, folder / "recording")
    Path(packages["training"]).rename(laptop.home / "labels.pkg.slp")
    Path(packages["held_out"]).rename(laptop.home / "unseen.pkg.slp")

    transcript.say("## The GPU machine")
    server = stack.enter_context(
        gpu_box.running("sleap-rtc server --ws-port 0 --http-port 0", lambda said: "ready " in said)
    )
    addresses = dict(word.split("=", 1) for word in server.split("ready ")[1].split()[:2])
    transcript.say("In another terminal on it. Here, sleap-nn has its own environment:")
    worker = stack.enter_context(
        gpu_box.running(
            f"sleap-rtc worker --name gpu-box --trainer-python {shlex.quote(trainer_python)} "
            f"--signaling-ws {addresses['ws']} --signaling-http {addresses['http']}",
            lambda said: INVITE.search(said) is not None and "waits for jobs" in said,
        )
    )
    found = INVITE.search(worker)
    assert found is not None

    transcript.say("## The laptop")
    laptop.run(f"sleap-rtc join '{found[0]}'")
    laptop.run("sleap-rtc doctor")
    laptop.run("sleap-rtc client workers")
    transcript.say("Training. A terminal shows live curves; these are the lines that a pipe gets.")
    laptop.run("sleap-rtc client train labels.pkg.slp --model-type topdown --epochs 8")
    laptop.run("sleap-rtc client jobs")
    transcript.say("A job also runs without a terminal:")
    detached = laptop.run("sleap-rtc client train labels.pkg.slp --model-type centroid --epochs 30 --detach")
    job = re.search(r"(?:status|attach) ([0-9a-f]{8})", detached)
    assert job is not None
    laptop.run(f"sleap-rtc client status {job[1]}")
    time.sleep(A_FEW_EPOCHS_SEC)
    transcript.say("Some epochs later it is good enough:")
    laptop.run(f"sleap-rtc client stop {job[1]}")
    laptop.run(f"sleap-rtc client attach {job[1]}")

    transcript.say("## Predictions for frames that the model hasn't seen")
    laptop.run(
        "sleap-rtc client track unseen.pkg.slp --model models/centroid --model models/centered_instance "
        "--out predictions.slp"
    )

    transcript.say("## What goes wrong on the first day")
    laptop.run("sleap-rtc client train lables.pkg.slp", expect=2)
    laptop.run("sleap-rtc client train labels.pkg.slp --min-gpu-memory-mb 8000", expect=4)
    laptop.run("sleap-rtc client attach 0000", expect=2)
    (laptop.home / "sleap-rtc.toml").write_text("[client]\nepoch = 50\n")
    transcript.say("A settings file with a mistake: `sleap-rtc.toml` has `epoch = 50` on its second line.")
    laptop.run("sleap-rtc client jobs", expect=2)


def main() -> None:
    """Reads the options, plays, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trainer-python", default=sys.executable)
    given = parser.parse_args()
    transcript = Transcript()
    transcript.say("# The first ten minutes")
    transcript.say(
        "Made by `docs/make_first_ten_minutes.py` from a real run on one machine without a GPU. What is "
        "typed follows the `$`; the rest is what was printed."
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ten-minutes-") as folder, ExitStack() as stack:
        play(Path(folder), given.trainer_python, stack, transcript)
        minutes = (time.monotonic() - started) / 60
    transcript.say(
        f"All of this took {minutes:.1f} minutes on two CPU cores; "
        "the rest of the ten minutes is for reading."
    )
    TARGET.write_text(transcript.text())
    print(f"{TARGET} is written.")


if __name__ == "__main__":
    main()
