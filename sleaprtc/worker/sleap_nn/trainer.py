"""Trains and predicts with sleap-nn, in a separate process with a Python of the owner's choice."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import attrs
import trio

from ...base.sentences import as_clause
from ...errors import SleapRTCError, StorageError, TrainerError
from ...formats.sleap_nn.configuration import is_legacy, legacy_core
from ...jobs.estimate import MODEL_HEADS
from ...protocol.vocabulary import ErrorCode, JobType
from ..trainer import (
    EpochEnded,
    FramesPredicted,
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
from .intake.model_files import read_models
from .intake.recordings import put_recording
from .plan.kept import read_plans, write_plans
from .plan.prediction import plan_prediction
from .plan.training import ModelPlan, ModelSource, ReceivedConfig, check_val_labels, plan_models
from .process.environment import runner_environment
from .process.events import (
    Converted,
    DeviceFound,
    EpochReported,
    Installed,
    PredictionDone,
    RunnerEvent,
    RunnerFailed,
    TrainingDone,
)
from .process.failures import reported_failure, silent_failure
from .process.limits import NO_LIMITS, TrainingLimits, wait_for_excess
from .process.outcomes import judge_prediction, judge_training
from .process.runner_process import EXIT_AFTER_LAST_EVENT_SEC, RUNNER_FILE, Runner, open_runner
from .salvage import salvage, spent_sec

PROBE_TIMEOUT_SEC: Final = 90.0
"""Importing torch takes 2 seconds from a warm disk, and half a minute from a cold network disk."""

CONVERSION_TIMEOUT_SEC: Final = 180.0
"""Converting imports sleap-nn's configuration, and torch with it."""

OLDEST_SLEAP_NN: Final = (0, 3)

PROBE: Final = "probe"
CONVERT: Final = "convert"
TRAIN: Final = "train"
PREDICT: Final = "predict"
"""The runner's commands (``runner/tasks.py``)."""

_WORK: Final = {TRAIN: "training", PREDICT: "prediction", CONVERT: "training"}
_KEPT: Final = {TRAIN: "keeping the best model", PREDICT: "keeping the predictions so far"}

LastWord: TypeAlias = TrainingDone | PredictionDone | RunnerFailed


@attrs.frozen
class RunnerTask:
    """A task for the runner: a command and its arguments as JSON."""

    command: str
    fields: Mapping[str, object] = attrs.field(factory=dict)

    def as_json(self) -> dict[str, object]:
        """Returns the JSON object that the runner reads."""
        return {"command": self.command, **self.fields}


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
        found = DeviceFound(None, None)
        failure: str | None = None
        with TemporaryDirectory(prefix="sleap-rtc-probe-") as folder, trio.move_on_after(PROBE_TIMEOUT_SEC):
            try:
                async with self._open_runner(RunnerTask(PROBE), Path(folder), 1) as runner:
                    while (event := await runner.next_event()) is not None:
                        if isinstance(event, Installed):
                            versions = event.versions
                        elif isinstance(event, DeviceFound):
                            found = event
                            break
                        elif isinstance(event, RunnerFailed):
                            failure = event.message
                            break
            except TrainerError as error:
                return TrainerCapabilities(problem=str(error), python=str(self._python))
        self._capabilities = attrs.evolve(
            judge_installation(self._python, versions, found.device, failure),
            torch_version=None if versions is None else versions.get("torch"),
            torch_cuda=found.torch_cuda,
            python=str(self._python),
        )
        return self._capabilities

    async def train(
        self, job: TrainingJob, *, report: Callable[[TrainingEvent], None], stop: trio.Event
    ) -> TrainingOutcome:
        """See :meth:`Trainer.train`.

        Afterwards, the job's folder has ``models/<head>``, the log ``trainer.log`` and the labels.

        Raises:
            StorageError: The job's folder can't be written to.
        """
        report(StageStarted(Stage.PREPARING, "Checking the labels and the configuration"))
        capabilities = await self._ready_capabilities()
        plans = await self._plan(job, accelerated=capabilities.torch_device != "cpu")
        task = RunnerTask(TRAIN, {"models": [attrs.asdict(plan) for plan in plans]})
        heads = [plan.head for plan in plans]

        def on_event(event: RunnerEvent) -> None:
            if isinstance(event, StageStarted):
                report(event)
            elif isinstance(event, EpochReported) and (ended := _epoch_ended(event, heads)) is not None:
                report(ended)

        done = await self._run_task(task, job, on_event=on_event, stop=stop)
        if not isinstance(done, TrainingDone):
            raise TrainerError("The training process ended with another task's result.")
        return judge_training(done, job.work_dir)

    async def salvage(self, job: TrainingJob, reason: str) -> TrainingOutcome | None:
        """See :meth:`Trainer.salvage`."""
        plans = await trio.to_thread.run_sync(read_plans, job.work_dir)
        return None if plans is None else await trio.to_thread.run_sync(salvage, plans, job.work_dir, reason)

    async def _plan(self, job: TrainingJob, *, accelerated: bool) -> tuple[ModelPlan, ...]:
        """Returns what to train. A resumed training keeps the plan that it started with."""
        try:
            plans = await trio.to_thread.run_sync(read_plans, job.work_dir)
            if plans is None:
                await trio.to_thread.run_sync(_empty, job.work_dir)
                sources = await self._modernize(await gather_sources(job), job)
                plans = plan_models(sources, job.requested, accelerated=accelerated)
                await trio.to_thread.run_sync(write_plans, job.work_dir, plans)
        except OSError as error:
            raise StorageError(f"The job's folder can't be used: {as_clause(error)}.") from error
        return plans

    async def predict(
        self, job: PredictionJob, *, report: Callable[[PredictionEvent], None], stop: trio.Event
    ) -> PredictionOutcome:
        """See :meth:`Trainer.predict`.

        Raises:
            StorageError: The job's folder can't be written to.
        """
        report(StageStarted(Stage.PREPARING, "Checking the recording and the models"))
        await self._ready_capabilities()
        try:
            await trio.to_thread.run_sync(_empty, job.work_dir)
            recording = await put_recording(job.dataset, job.work_dir)
            models = await trio.to_thread.run_sync(read_models, job.models, job.work_dir)
        except OSError as error:
            raise StorageError(f"The job's folder can't be used: {as_clause(error)}.") from error
        plan = plan_prediction(recording, models, job.requested)
        task = RunnerTask(PREDICT, attrs.asdict(plan))

        def on_event(event: RunnerEvent) -> None:
            if isinstance(event, StageStarted | FramesPredicted):
                report(event)

        done = await self._run_task(task, job, on_event=on_event, stop=stop)
        if not isinstance(done, PredictionDone):
            raise TrainerError("The prediction process ended with another task's result.")
        return await judge_prediction(done, job.work_dir)

    async def _ready_capabilities(self) -> TrainerCapabilities:
        capabilities = self._capabilities or await self.probe()
        if capabilities.problem is not None:
            raise TrainerError(capabilities.problem, error_code=ErrorCode.NO_TRAINER, recoverable=True)
        return capabilities

    async def _run_task(
        self,
        task: RunnerTask,
        job: TrainingJob | PredictionJob,
        *,
        on_event: Callable[[RunnerEvent], None],
        stop: trio.Event,
    ) -> TrainingDone | PredictionDone:
        """Runs a task in the runner's process, within the owner's limits; returns the runner's last word."""
        spent = await trio.to_thread.run_sync(spent_sec, job.work_dir)
        last: LastWord | None = None
        excess: TrainerError | None = None
        async with self._open_runner(task, job.work_dir, job.thread_count) as runner:
            # A failure in here costs the job, even if only the limits can't be watched. No expected error is
            # raised, so that none comes out wrapped in a group.
            async with trio.open_nursery() as nursery:

                def end_early() -> None:
                    message = f"{self._limits.time_sentence}: {_KEPT[task.command]}."
                    on_event(StageStarted(Stage.FINALIZING, message))
                    nursery.start_soon(runner.send_stop)

                async def end_on_excess() -> None:
                    nonlocal excess
                    excess = await wait_for_excess(
                        self._limits,
                        group=runner.pid,
                        files=job.files,
                        lacks_disk=job.lacks_disk,
                        end_early=end_early,
                        spent_sec=spent,
                    )
                    nursery.cancel_scope.cancel()

                nursery.start_soon(_forward_stop, runner, stop)
                nursery.start_soon(end_on_excess)
                last = await _follow(runner, on_event)
                nursery.cancel_scope.cancel()
            if excess is not None:
                raise excess
            await runner.wait(EXIT_AFTER_LAST_EVENT_SEC)
            if not isinstance(last, TrainingDone | PredictionDone):
                failure = _failure(last, runner, job.work_dir, _WORK[task.command])
        if isinstance(last, TrainingDone | PredictionDone):
            return last
        raise failure

    async def _modernize(self, sources: tuple[ModelSource, ...], job: TrainingJob) -> tuple[ModelSource, ...]:
        """Lets sleap-nn convert SLEAP's old JSON profiles."""
        old = [
            source for source in sources if source.config is not None and is_legacy(source.config.document)
        ]
        if not old:
            return sources
        for source in old:
            check_val_labels(source)  # the converted profile no longer names them
        profiles = [
            {"name": config.name, "document": legacy_core(config.document, config.name)}
            for config in (source.config for source in old)
            if config is not None
        ]
        task = RunnerTask(CONVERT, {"profiles": profiles})
        failure: SleapRTCError = TrainerError("Converting the configurations for sleap-nn took too long.")
        converted: Converted | None = None
        with trio.move_on_after(CONVERSION_TIMEOUT_SEC):
            async with self._open_runner(task, job.work_dir, job.thread_count) as runner:
                event = await runner.next_event()
                if isinstance(event, Converted):
                    converted = event
                else:
                    await runner.wait(EXIT_AFTER_LAST_EVENT_SEC)
                    last = event if isinstance(event, RunnerFailed) else None
                    failure = _failure(last, runner, job.work_dir, _WORK[CONVERT])
        if converted is None:
            raise failure
        configs = iter(converted.configs)
        return tuple(
            attrs.evolve(source, config=ReceivedConfig(source.config.name, next(configs), is_converted=True))
            if source in old and source.config is not None
            else source
            for source in sources
        )

    def _open_runner(
        self, task: RunnerTask, work_dir: Path, thread_count: int
    ) -> AbstractAsyncContextManager[Runner]:
        environment = runner_environment(
            os.environ,
            other_python=self._python != Path(sys.executable),
            thread_count=thread_count,
            gpu_uuid=self._gpu_uuid,
        )
        return open_runner(
            self._python, task.as_json(), work_dir=work_dir, environment=environment, script=self._script
        )


def judge_installation(
    python: Path, versions: Mapping[str, str] | None, device: str | None, failure: str | None
) -> TrainerCapabilities:
    """Returns what an interpreter can train, judged by what it reported.

    Args:
        python: The interpreter.
        versions: Its packages' versions, or None if it reported nothing.
        device: What its torch can compute on, or None if torch can't be imported.
        failure: What it reported went wrong.
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


def _empty(folder: Path) -> None:
    """Deletes what a killed process left from which nothing can be resumed."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _major_minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


async def _forward_stop(runner: Runner, stop: trio.Event) -> None:
    await stop.wait()
    await runner.send_stop()


async def _follow(runner: Runner, on_event: Callable[[RunnerEvent], None]) -> LastWord | None:
    """Passes the runner's events on up to its last word, which is returned; None if there is none."""
    while (event := await runner.next_event()) is not None:
        if isinstance(event, TrainingDone | PredictionDone | RunnerFailed):
            return event
        on_event(event)
    return None


def _epoch_ended(event: EpochReported, heads: Sequence[str]) -> EpochEnded | None:
    """Adds the job's progress to an epoch. None without a finite loss, which ends the training anyway."""
    if event.train_loss is None or event.model not in heads:
        return None
    done = heads.index(event.model) + event.epoch / max(event.total_epochs, 1)
    return EpochEnded(
        model=event.model,
        epoch=event.epoch,
        total_epochs=event.total_epochs,
        progress=min(1.0, done / len(heads)),
        train_loss=event.train_loss,
        val_loss=event.val_loss,
        device=event.device,
        elapsed_sec=event.elapsed_sec,
    )


def _failure(last: RunnerFailed | None, runner: Runner, work_dir: Path, work: str) -> SleapRTCError:
    if last is not None:
        return reported_failure(last)
    free_bytes = shutil.disk_usage(work_dir).free
    return silent_failure(runner.exit_status, runner.log_tail(), free_bytes, work)
