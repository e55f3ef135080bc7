"""Keeps a worker's published problems up to date: somebody else may take the GPU at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from ...base.logs import get_logger
from ...errors import SignalingLostError
from ...jobs.properties import WorkerProperties, as_json
from ...protocol.messages import Metadata
from ...signaling.link import Link
from ..trainer import TrainerCapabilities
from .description import sentences_of
from .gpu import GpuInfo
from .gpu_users import read_gpu_users
from .problems import Problem, find_problems

LOOK_INTERVAL_SEC: Final = 20.0
"""How outdated the published problems may be. Asking the driver takes a few milliseconds."""

_log = get_logger(__name__)


class ProblemWatch:
    """Looks for problems, and publishes those that come and go.

    Args:
        read_gpu: Reads the GPU's state; called in a thread.
        trainer: What the trainer reported about itself.
    """

    def __init__(self, read_gpu: Callable[[], GpuInfo], trainer: TrainerCapabilities) -> None:
        self._read_gpu = read_gpu
        self._trainer = trainer
        self._last: tuple[Problem, ...] = ()

    async def look(self) -> tuple[Problem, ...]:
        """Returns what is wrong now."""

        def find() -> tuple[Problem, ...]:
            gpu = self._read_gpu()
            return find_problems(gpu, read_gpu_users(gpu), self._trainer)

        self._last = await trio.to_thread.run_sync(find)
        return self._last

    async def run(self, link: Link) -> None:
        """Publishes changes until cancelled."""
        while True:
            await trio.sleep(LOOK_INTERVAL_SEC)
            before = self._last
            now = await self.look()
            if now == before:
                continue
            for problem in now:
                if problem.code not in {known.code for known in before}:
                    _log.warning(problem.sentence, problem=problem.code)
            changed = WorkerProperties(problems=sentences_of(now))
            try:
                await link.update_metadata(Metadata(properties=as_json(changed)))
            except SignalingLostError as error:
                _log.debug("The problems will be published with the next registration.", error=str(error))
