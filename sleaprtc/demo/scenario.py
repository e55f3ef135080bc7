"""The steps of a demo, in order."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from ..base.child_environment import without_secrets
from ..base.distribution import install_command
from ..base.private_files import STATE_DIR_VARIABLE
from ..base.sentences import as_clause
from ..errors import JobFailedError, UsageError
from .folder import prepare_folder
from .parts import Narrate, Part, Parts, open_parts

FLIES_SCRIPT: Final = Path(__file__).with_name("flies.py")
EVALUATION_SCRIPT: Final = Path(__file__).with_name("evaluation.py")

WORKER_NAMES: Final = ("worker-1", "worker-2")
WORKERS_POLL_SEC: Final = 0.5
DEFAULT_EPOCHS: Final = {"base": 20, "centroid": 10, "topdown": 12, "bottomup": 20}
"""Enough for the recording that the demo makes, on one CPU core."""

MAX_ERROR_PX: Final = 3.0
MIN_FOUND: Final = 0.9
"""The fraction of the true nodes that a good model finds."""


@attrs.frozen
class DemoOptions:
    """The options of a demo.

    Attributes:
        out_dir: The folder for everything that the demo writes.
        model_type: ``base``, ``centroid``, ``topdown`` or ``bottomup``.
        epochs: Epochs for each model; None means :data:`DEFAULT_EPOCHS`.
        trainer_python: The interpreter in which sleap-nn is installed.
        limit_sec: The time limit for the whole demo.
    """

    out_dir: Path
    model_type: str = "base"
    epochs: int | None = None
    trainer_python: str = sys.executable
    limit_sec: float = 900.0


@attrs.frozen
class DemoResult:
    """The result of a demo, and the content of ``summary.json``."""

    model_type: str
    error_px: float
    true_nodes: int
    found_nodes: int
    extra_instances: int
    held_out_frames: int
    training_sec: float
    models: tuple[str, ...]
    predictions: str
    picture: str

    @property
    def is_good(self) -> bool:
        """Whether the model's error is small enough, and it finds enough nodes."""
        return self.error_px < MAX_ERROR_PX and self.found_nodes >= MIN_FOUND * self.true_nodes


async def require_trainer(python: str) -> None:
    """Checks that sleap-nn and sleap-io are installed, without importing them.

    Raises:
        UsageError: They aren't, or ``python`` can't be run.
    """
    check = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('sleap_nn', 'sleap_io'))))"
    try:
        found = await trio.run_process(
            [python, "-c", check],
            check=False,
            capture_stderr=True,
            env=without_secrets(other_python=python != sys.executable),
        )
    except OSError as error:
        raise UsageError(f"{python} can't be run: {as_clause(error)}.") from error
    if found.returncode:
        elsewhere = shlex.join([python, "-m", "pip", "install", "sleap-nn", "sleap-io"])
        remedy = install_command("train") if python == sys.executable else elsewhere
        raise UsageError(
            f"The demo trains with sleap-nn, which {python} doesn't have: run "
            f"{remedy}, or name another interpreter with --trainer-python."
        )


async def run_demo(options: DemoOptions, narrate: Narrate) -> DemoResult:
    """Runs the whole workflow.

    Raises:
        UsageError: sleap-nn is missing, or the folder isn't a demo's.
        StorageError: The folder can't be prepared.
        JobFailedError: A part failed, or the time limit was exceeded.
    """
    await require_trainer(options.trainer_python)
    folder = options.out_dir.absolute()
    prepare_folder(folder)
    with trio.move_on_after(options.limit_sec):
        async with open_parts(narrate) as parts:
            result = await _play(options, folder, parts, narrate)
            (folder / "summary.json").write_text(json.dumps(attrs.asdict(result), indent=2) + "\n")
            return result
    raise JobFailedError(
        f"The demo didn't finish within {options.limit_sec:.0f} seconds.", error_code="TIMEOUT"
    )


async def _play(options: DemoOptions, folder: Path, parts: Parts, narrate: Narrate) -> DemoResult:
    narrate("demo", "recording flies")
    recording = await _record(options, folder, parts)
    narrate("demo", "starting a server and two workers")
    env = await _start_server(folder, parts)
    for name in WORKER_NAMES:
        await _start_worker(name, options, folder, env, parts)
    await _wait_for_workers(env, parts)
    narrate("demo", "training a model on one of them")
    started = trio.current_time()
    await parts.run("client", _client_command(options, folder, recording["training"]), env=env)
    training_sec = trio.current_time() - started
    models = model_dirs(folder / "models")
    narrate("demo", f"predicting on held-out frames with {', '.join(model.name for model in models)}")
    return await _evaluate(options, folder, recording["held_out"], models, training_sec, parts)


async def _record(options: DemoOptions, folder: Path, parts: Parts) -> dict[str, str]:
    fly_count = 1 if options.model_type == "base" else 2
    script = [options.trainer_python, str(FLIES_SCRIPT)]
    command = [*script, str(folder / "recording"), "--flies", str(fly_count)]
    recording: dict[str, str] = _last_object(await parts.run("recording", command, narrated=False))
    return recording


async def _start_server(folder: Path, parts: Parts) -> dict[str, str]:
    """Starts a server, creates a room, and returns the environment variables for peers to find both."""
    server = await parts.start(
        "server",
        [*_program("server"), "--ws-port", "0", "--http-port", "0", "--state-dir", folder / "server"],
        must_stay=True,
    )
    addresses = await _ready_addresses(server)
    env = {
        "SLEAP_RTC_SIGNALING_WS": addresses["ws"],
        "SLEAP_RTC_SIGNALING_HTTP": addresses["http"],
        "SLEAP_RTC_ICE_LOOPBACK": "1",
        # Keeps the demo's jobs and rooms apart from the user's own.
        STATE_DIR_VARIABLE: str(folder / "state"),
    }
    create = [*_program("client"), "room", "create", "--json"]
    room = _last_object(await parts.run("room", create, env=env, narrated=False))
    return env | {"SLEAP_RTC_INVITE": room["invite"]}


async def _ready_addresses(server: Part) -> dict[str, str]:
    line = await server.line(lambda text: text.startswith("ready "))
    return dict(word.split("=", 1) for word in line.split()[1:])


async def _start_worker(
    name: str, options: DemoOptions, folder: Path, env: dict[str, str], parts: Parts
) -> None:
    await parts.start(
        name,
        [
            *_program("worker"),
            *("--name", name),
            *("--work-dir", folder / name),
            *("--trainer-python", options.trainer_python),
        ],
        env=env,
        must_stay=True,
    )


async def _wait_for_workers(env: dict[str, str], parts: Parts) -> None:
    """Polls the server until both workers are there; they need some seconds to import sleap-nn."""
    command = [*_program("client"), "workers", "--json"]
    while True:
        listing = "\n".join(await parts.run("client", command, env=env, narrated=False))
        if all(f'"{name}"' in listing for name in WORKER_NAMES):
            return
        await trio.sleep(WORKERS_POLL_SEC)


def _client_command(options: DemoOptions, folder: Path, dataset: str) -> list[str | Path]:
    epochs = options.epochs or DEFAULT_EPOCHS[options.model_type]
    return [
        *_program("client"),
        *("train", dataset),
        *("--out", folder / "models"),
        *("--model-type", options.model_type),
        *("--epochs", str(epochs)),
    ]


async def _evaluate(
    options: DemoOptions, folder: Path, held_out: str, models: list[Path], training_sec: float, parts: Parts
) -> DemoResult:
    command: list[str | Path] = [options.trainer_python, EVALUATION_SCRIPT, held_out, folder]
    for model in models:
        command += ["-m", model]
    evaluation = _last_object(
        await parts.run("evaluation", command, env={"OMP_NUM_THREADS": "1"}, narrated=False)
    )
    return DemoResult(
        model_type=options.model_type,
        error_px=evaluation["error_px"],
        true_nodes=evaluation["true_nodes"],
        found_nodes=evaluation["found_nodes"],
        extra_instances=evaluation["extra_instances"],
        held_out_frames=evaluation["frames"],
        training_sec=round(training_sec, 1),
        models=tuple(str(model) for model in models),
        predictions=evaluation["predictions"],
        picture=evaluation["picture"],
    )


def model_dirs(folder: Path) -> list[Path]:
    """Returns the model folders in ``folder``: centroid models first, then in the order of their names.

    Raises:
        JobFailedError: There are no model folders.
    """
    checkpoints = (path.relative_to(folder) for path in folder.rglob("best.ckpt"))
    found = sorted(
        folder / path.parent for path in checkpoints if not any(part.startswith(".") for part in path.parts)
    )
    if not found:
        raise JobFailedError(f"No model arrived in {folder}.", error_code="NO_MODEL")
    return sorted(found, key=lambda path: "centroid" not in path.name)


def _program(name: str) -> list[str | Path]:
    # -P: no module is imported from the working directory.
    return [sys.executable, "-P", "-m", f"{__package__.rpartition('.')[0]}.{name}"]


def _last_object(lines: list[str]) -> dict[str, Any]:
    """Decodes the last line of a program's output, which is a JSON object."""
    try:
        value = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise JobFailedError(
            "A part of the demo didn't report its result.", error_code="NO_OUTPUT"
        ) from error
    if not isinstance(value, dict):
        raise JobFailedError("A part of the demo didn't report its result.", error_code="NO_OUTPUT")
    return value
