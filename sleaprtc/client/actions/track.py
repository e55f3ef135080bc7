"""``client track``."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..display import open_display
from ..jobs.order.settings import PredictionSettings
from ..jobs.submission.retry import open_endeavour
from ..jobs.track import tracking_order
from ..room import until_interrupted
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
        """Predicts on the recording, and shows how."""
        await until_interrupted(self._track)

    async def _track(self) -> None:
        with open_display(as_json=self.as_json) as emit:
            order = await tracking_order(
                self.recording,
                self.models,
                out=self.out,
                replace=self.replace,
                settings=self.settings,
                which=self.options.which,
                emit=emit,
            )
            async with open_endeavour(order, self.options.peer, self.options.persistence, emit) as endeavour:
                await (endeavour.begin() if self.options.detach else endeavour.run())
