"""``client train``: one dataset, or several as jobs of their own."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..display import open_display, print_table
from ..display.several import next_commands, open_several_display, outcomes_table
from ..jobs.order.control import JobControl
from ..jobs.order.settings import TrainingSettings
from ..jobs.several import failure_of, train_several
from ..jobs.submission.retry import open_endeavour
from ..jobs.train import training_order
from .interrupts import until_interrupted
from .options import JobOptions


@attrs.frozen
class Training:
    """A ``train`` command; the attributes are its options."""

    datasets: tuple[Path, ...]
    out_dir: Path
    configs: tuple[Path, ...]
    validation: Path | None
    settings: TrainingSettings
    options: JobOptions
    as_json: bool

    async def run(self) -> None:
        """Trains on each dataset, and shows how."""
        control = JobControl()
        train = self._train_one if len(self.datasets) == 1 else self._train_several
        await until_interrupted(lambda: train(control), control)

    async def _train_one(self, control: JobControl) -> None:
        (dataset,) = self.datasets
        with open_display(as_json=self.as_json) as emit:
            order = await training_order(
                dataset,
                out_dir=self.out_dir,
                configs=self.configs,
                validation=self.validation,
                settings=self.settings,
                which=self.options.which,
                emit=emit,
            )
            options = self.options
            async with open_endeavour(order, options.peer, options.persistence, emit, control) as endeavour:
                await (endeavour.begin() if options.detach else endeavour.run())

    async def _train_several(self, control: JobControl) -> None:
        with open_several_display(as_json=self.as_json) as display:
            outcomes = await train_several(
                self.datasets,
                out_dir=self.out_dir,
                options=self.options.peer,
                configs=self.configs,
                validation=self.validation,
                settings=self.settings,
                which=self.options.which,
                persistence=self.options.persistence,
                detach=self.options.detach,
                display=display,
                control=control,
            )
        if not self.as_json:
            print_table(outcomes_table(outcomes))
            if self.options.detach:
                print(next_commands())
        failure = failure_of(outcomes)
        if failure is not None:
            raise failure
