"""``client train``: one dataset, or several as jobs of their own."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..display import open_display, print_table
from ..display.several import next_commands, open_several_display, outcomes_table
from ..jobs.order.control import JobControl
from ..jobs.order.persistence import Until
from ..jobs.order.settings import TrainingSettings
from ..jobs.several import failure_of, train_several
from ..jobs.train import train_on_a_worker
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
        """Trains on each dataset, and shows the progress."""
        control = JobControl()
        train = self._train_one if len(self.datasets) == 1 else self._train_several
        await until_interrupted(lambda: train(control), control)

    async def _train_one(self, control: JobControl) -> None:
        (dataset,) = self.datasets
        with open_display(as_json=self.as_json) as emit:
            await train_on_a_worker(
                dataset,
                out_dir=self.out_dir,
                options=self.options.peer,
                configs=self.configs,
                validation=self.validation,
                settings=self.settings,
                which=self.options.which,
                persistence=self.options.persistence,
                emit=emit,
                control=control,
            )

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
                display=display,
                control=control,
            )
        if not self.as_json:
            print_table(outcomes_table(outcomes))
            if self.options.persistence.until is Until.BEGUN:
                print(next_commands())
        failure = failure_of(outcomes)
        if failure is not None:
            raise failure
