"""``client track``."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..display import open_display
from ..jobs.order.control import JobControl
from ..jobs.order.settings import PredictionSettings
from ..jobs.track import track_on_a_worker
from .interrupts import until_interrupted
from .options import JobOptions


@attrs.frozen
class Tracking:
    """A ``track`` command; the attributes are its options."""

    recording: Path
    models: tuple[Path, ...]
    out: Path | None
    replace: bool
    settings: PredictionSettings
    options: JobOptions
    as_json: bool

    async def run(self) -> None:
        """Predicts on the recording, and shows the progress."""
        control = JobControl()
        await until_interrupted(lambda: self._track(control), control)

    async def _track(self, control: JobControl) -> None:
        with open_display(as_json=self.as_json) as emit:
            await track_on_a_worker(
                self.recording,
                self.models,
                options=self.options.peer,
                out=self.out,
                replace=self.replace,
                settings=self.settings,
                which=self.options.which,
                persistence=self.options.persistence,
                emit=emit,
                control=control,
            )
