"""Training and predicting with sleap-nn, in a process of its own and with the Python of the user's choice."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs
import trio

from ...base.sentences import as_clause
from ...errors import SleapRTCError, StorageError, TrainerError
from ...jobs.estimate import MODEL_HEADS
from ...protocol.vocabulary import ErrorCode, JobType
from ..trainer import (
    EpochEnded,
    PredictionEvent,
    PredictionJob,
    PredictionOutcome,
    Stage,
    StageStarted,
    Trainer,
    TrainerCapabilities,
    TrainingEvent,
    TrainingJob,
    TrainingOutcome,
)
from .inputs import gather_sources
from .intake.configuration import is_legacy, legacy_core
from .intake.model_files import read_models
from .intake.recordings import put_recording
from .plan.prediction import plan_prediction, read_frames_event, read_prediction_outcome
from .plan.training import RUNS_FOLDER, ModelSource, ReceivedConfig, plan_models
from .process.environment import runner_environment
from .process.failures import reported_failure, silent_failure
from .process.limits import NO_LIMITS, TrainingLimits, wait_for_excess
from .process.runner_process import EXIT_AFTER_LAST_EVENT_SEC, RUNNER_FILE, Runner, open_runner

PROBE_TIMEOUT_SEC: Final = 90.0
"""Importing torch takes 2 seconds from a warm disk, and half a minute from a cold network disk."""

CONVERSION_TIMEOUT_SEC: Final = 180.0
"""Converting imports sleap-nn's configuration, and torch with it."""

OLDEST_SLEAP_NN: Final = (0, 3)

_WORK: Final = {"train": "training", "predict": "prediction", "convert": "training"}
_KEPT: Final = {"train": "keeping the best model", "predict": "keeping the predictions so far"}


class SleapNNTrainer(Trainer):
    """Trains and predicts with sleap-nn.

    Args:
        python: The interpreter in which sleap-nn is installed; this one's own by default.
        gpu_uuid: The only GPU that training may see, as ``CUDA_VISIBLE_DEVICES`` takes it; by
            default the environment decides.
        script: The runner; another one can stand in for it to see what happens when it fails.
        limits: What one training may take.
    """

    def __init__(
        self,
        python: Path | None = None,
        *,
        gpu_uuid: str | None = None,
        script: Path = RUNNER_FILE,
        limits: TrainingLimits = NO_LIMITS,
    ) -> None:
        self._python = Path(sys.executable) if python is None else python
        self._gpu_uuid = gpu_uuid
        self._script = script
        self._limits = limits
        self._capabilities: TrainerCapabilities | None = None

    async def probe(self) -> TrainerCapabilities:
        """Asks the trainer's Python what is installed, which takes a few seconds."""
        versions: Mapping[str, str] | None = None
        device: str | None = None
        torch_cuda: str | None = None
        last: Mapping[str, Any] | None = None
        with TemporaryDirectory(prefix="sleap-rtc-probe-") as folder, trio.move_on_after(PROBE_TIMEOUT_SEC):
            try:
                async with self._open_runner({"command": "probe"}, Path(folder), 1) as runner:
                    while (last := await runner.next_event()) is not None:
                        versions = last.get("versions", versions)
                        device = last.get("device", device)
                        torch_cuda = last.get("torch_cuda", torch_cuda)
                        if device is not None or last.get("event") == "failed":
                            break
            except TrainerError as error:
                return TrainerCapabilities(problem=str(error), python=str(self._python))
        failure = str(last.get("message")) if last is not None and last.get("event") == "failed" else None
        self._capabilities = attrs.evolve(
            judge_installation(self._python, versions, device, failure),
            torch_version=None if versions is None else versions.get("torch"),
            torch_cuda=torch_cuda,
            python=str(self._python),
        )
        return self._capabilities

    async def train(
        self, job: TrainingJob, *, report: Callable[[TrainingEvent], None], stop: trio.Event
    ) -> TrainingOutcome:
        """Trains as :meth:`Trainer.train` has it.

        The job's folder afterwards has ``models/<head>``, the log ``trainer.log``, and the labels.

        Raises:
            StorageError: The job's folder can't be written to.
        """
        report(StageStarted(Stage.PREPARING, "Checking the labels and the configuration"))
        capabilities = await self._ready_capabilities()
        try:
            sources = await self._modernize(await gather_sources(job), job)
        except OSError as error:
            raise StorageError(f"The job's folder can't be used: {as_clause(error)}.") from error
        plans = plan_models(sources, job.requested, accelerated=capabilities.torch_device != "cpu")
        task = {"command": "train", "models": [attrs.asdict(plan) for plan in plans]}
        heads = [plan.head for plan in plans]

        def take(event: Mapping[str, Any]) -> None:
            # null is a loss that is no number, after which the runner's last word says so
            if event["event"] == "epoch" and event["train_loss"] is not None:
                report(_read_epoch(event, heads))

        done = await self._carry_out(task, job, take=take, report=report, stop=stop)
        return read_outcome(done, job.work_dir)

    async def predict(
        self, job: PredictionJob, *, report: Callable[[PredictionEvent], None], stop: trio.Event
    ) -> PredictionOutcome:
        """Predicts as :meth:`Trainer.predict` has it.

        Raises:
            StorageError: The job's folder can't be written to.
        """
        report(StageStarted(Stage.PREPARING, "Checking the recording and the models"))
        await self._ready_capabilities()
        try:
            recording = await put_recording(job.dataset, job.work_dir)
            models = await trio.to_thread.run_sync(read_models, job.models, job.work_dir)
        except OSError as error:
            raise StorageError(f"The job's folder can't be used: {as_clause(error)}.") from error
        plan = plan_prediction(recording, models, job.requested)
        task = {"command": "predict", **attrs.asdict(plan)}

        def take(event: Mapping[str, Any]) -> None:
            if event["event"] == "frames":
                report(read_frames_event(event))

        done = await self._carry_out(task, job, take=take, report=report, stop=stop)
        return await read_prediction_outcome(done, job.work_dir)

    async def _ready_capabilities(self) -> TrainerCapabilities:
        capabilities = self._capabilities or await self.probe()
        if capabilities.problem is not None:
            raise TrainerError(capabilities.problem, error_code=ErrorCode.NO_TRAINER, recoverable=True)
        return capabilities

    async def _carry_out(
        self,
        task: Mapping[str, Any],
        job: TrainingJob | PredictionJob,
        *,
        take: Callable[[Mapping[str, Any]], None],
        report: Callable[[StageStarted], None],
        stop: trio.Event,
    ) -> Mapping[str, Any]:
        """Has the runner carry out a task within the owner's limits; returns its last word, "done"."""
        last: Mapping[str, Any] | None = None
        excess: TrainerError | None = None
        async with self._open_runner(task, job.work_dir, job.thread_count) as runner:
            # A failure in here costs the job, even if only the limits can't be watched. No expected error is
            # raised, so that none comes out wrapped in a group.
            async with trio.open_nursery() as nursery:

                def end_early() -> None:
                    report(
                        StageStarted(
                            Stage.FINALIZING, f"{self._limits.time_sentence}: {_KEPT[task['command']]}."
                        )
                    )
                    nursery.start_soon(runner.send_stop)

                async def end_on_excess() -> None:
                    nonlocal excess
                    excess = await wait_for_excess(
                        self._limits, group=runner.pid, files=job.files, end_early=end_early
                    )
                    nursery.cancel_scope.cancel()

                nursery.start_soon(_forward_stop, runner, stop)
                nursery.start_soon(end_on_excess)
                last = await _follow(runner, take, report)
                nursery.cancel_scope.cancel()
            if excess is not None:
                raise excess
            await runner.wait(EXIT_AFTER_LAST_EVENT_SEC)
            failure = _failure(last, runner, job.work_dir, _WORK[task["command"]])
        if failure is not None:
            raise failure
        assert last is not None
        return last

    async def _modernize(self, sources: tuple[ModelSource, ...], job: TrainingJob) -> tuple[ModelSource, ...]:
        """Has SLEAP's old JSON profiles converted by sleap-nn itself."""
        old = [
            source for source in sources if source.config is not None and is_legacy(source.config.document)
        ]
        if not old:
            return sources
        profiles = [
            {"name": config.name, "document": legacy_core(config.document, config.name)}
            for config in (source.config for source in old)
            if config is not None
        ]
        task = {"command": "convert", "profiles": profiles}
        event: Mapping[str, Any] | None = None
        with trio.move_on_after(CONVERSION_TIMEOUT_SEC):
            async with self._open_runner(task, job.work_dir, job.thread_count) as runner:
                event = await runner.next_event()
                if event is None:
                    await runner.wait(EXIT_AFTER_LAST_EVENT_SEC)
                failure = _failure(event, runner, job.work_dir, _WORK["convert"])
            if failure is not None:
                raise failure
        if event is None:
            raise TrainerError("Converting the configurations for sleap-nn took too long.")
        converted = iter(event["configs"])
        return tuple(
            attrs.evolve(source, config=ReceivedConfig(source.config.name, next(converted)))
            if source in old and source.config is not None
            else source
            for source in sources
        )

    def _open_runner(
        self, task: Mapping[str, Any], work_dir: Path, thread_count: int
    ) -> AbstractAsyncContextManager[Runner]:
        environment = runner_environment(
            os.environ,
            other_python=self._python != Path(sys.executable),
            thread_count=thread_count,
            gpu_uuid=self._gpu_uuid,
        )
        return open_runner(
            self._python, task, work_dir=work_dir, environment=environment, script=self._script
        )


def judge_installation(
    python: Path, versions: Mapping[str, str] | None, device: str | None, failure: str | None
) -> TrainerCapabilities:
    """What an interpreter can train, from what it said of itself.

    Args:
        python: The interpreter.
        versions: Its packages' versions, or None if it said nothing.
        device: What its torch can compute on, or None if torch can't be imported.
        failure: What it said went wrong.
    """
    if versions is None:
        return TrainerCapabilities(problem=failure or f"{python} didn't say which packages it has.")
    version = versions.get("sleap-nn")
    if version is None:
        return TrainerCapabilities(problem=f"sleap-nn isn't installed for {python}.")
    if _major_minor(version) < OLDEST_SLEAP_NN:
        return TrainerCapabilities(
            sleap_version=version, problem=f"sleap-nn {version} of {python} is too old: 0.3 is needed."
        )
    if device is None:
        return TrainerCapabilities(
            sleap_version=version, problem=failure or f"torch can't be imported by {python}."
        )
    return TrainerCapabilities(
        supported_models=tuple(MODEL_HEADS),
        supported_job_types=tuple(JobType),
        sleap_version=version,
        torch_device=device,
    )


def _major_minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


async def _forward_stop(runner: Runner, stop: trio.Event) -> None:
    await stop.wait()
    await runner.send_stop()


async def _follow(
    runner: Runner, take: Callable[[Mapping[str, Any]], None], report: Callable[[StageStarted], None]
) -> Mapping[str, Any] | None:
    """Reports what the runner says, up to its last word, which is returned; None if it has none."""
    while (event := await runner.next_event()) is not None:
        if event.get("event") in ("done", "failed"):
            return event
        if event.get("event") == "stage":
            report(StageStarted(event["stage"], event["message"], event.get("model"), event.get("device")))
        elif "event" in event:
            take(event)
    return None


def _read_epoch(event: Mapping[str, Any], heads: Sequence[str]) -> EpochEnded:
    done = heads.index(event["model"]) + event["epoch"] / max(event["total_epochs"], 1)
    return EpochEnded(
        model=event["model"],
        epoch=event["epoch"],
        total_epochs=event["total_epochs"],
        progress=min(1.0, done / len(heads)),
        train_loss=event["train_loss"],
        val_loss=event["val_loss"],
        device=event["device"],
        elapsed_sec=event["elapsed_sec"],
    )


def _failure(
    last: Mapping[str, Any] | None, runner: Runner, work_dir: Path, work: str
) -> SleapRTCError | None:
    if last is None:
        free_bytes = shutil.disk_usage(work_dir).free
        return silent_failure(runner.exit_status, runner.log_tail(), free_bytes, work)
    return reported_failure(last) if last["event"] == "failed" else None


def read_outcome(done: Mapping[str, Any], work_dir: Path) -> TrainingOutcome:
    """Judges a runner's "done": a finite loss, and the files of every model it names.

    Raises:
        TrainerError: Something of it is missing.
    """
    models = done["models"]
    model_dirs = tuple(work_dir / RUNS_FOLDER / model["head"] for model in models)
    missing = [
        folder.name
        for folder in model_dirs
        if not all((folder / name).is_file() for name in ("best.ckpt", "training_config.yaml"))
    ]
    if missing or not models:
        raise TrainerError(f"Training left no usable model of {', '.join(missing) or 'any head'}.")
    if any(model["best_loss"] is None for model in models):
        raise TrainerError("Training ended without a finite loss.", error_code=ErrorCode.LOSS_NOT_FINITE)
    return TrainingOutcome(
        model_dirs=model_dirs,
        final_loss=models[-1]["best_loss"],
        total_epochs=sum(model["epochs"] for model in models),
        duration_sec=done["duration_sec"],
        device=models[-1]["device"],
    )
