"""Shows which changes of the pure modules no test notices: ``tox -e mutants -- --count 120 --seed 1``.

cosmic-ray makes the changes, one at a time, in a copy of the project, and runs the tests of the changed
module. A seed draws the sample, evenly over the places that can be changed. A change that survives is a
missing test, or one that changes nothing that anybody could notice.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs

from .support.layers import PURE, modules_of

ROOT: Final = Path(__file__).parents[1]
TIMEOUT_SEC: Final = 120
"""A change that makes a loop endless is noticed by it."""


@attrs.frozen
class Subject:
    """Modules, and the fast tests that are to notice a change of theirs."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


PURE_TESTS: Final = {
    "protocol": ("protocol",),
    "rooms": ("rooms", "server/test_refusals.py", "server/test_identity.py"),
    "jobs": ("jobs", "client/test_answers.py"),
    "transfer.framing": ("transfer/test_framing.py",),
}
"""The tests of each part that only decides."""

SUBJECTS: Final = {
    **{part: Subject(modules_of(part), PURE_TESTS[part]) for part in PURE},
    "proof": Subject(("rtc/proof.py",), ("rtc/test_proof.py", "transfer/test_proven.py")),
    "allow list": Subject(
        ("formats/sleap_nn/allow_list.py",),
        ("worker/sleap_nn/test_allow_list.py", "worker/sleap_nn/test_configuration.py"),
    ),
    "plan": Subject(
        tuple(f"worker/sleap_nn/plan/{name}.py" for name in ("prediction", "settings", "training")),
        ("worker/sleap_nn/test_plan.py", "worker/sleap_nn/test_prediction.py"),
    ),
    "losses": Subject(("client/events/losses.py",), ("client/test_losses.py", "client/test_report.py")),
    "journal": Subject(
        tuple(
            f"worker/journal/{name}.py" for name in ("answers", "page", "past_trainings", "recovery", "store")
        ),
        (
            "worker/test_past_trainings.py",
            "worker/test_journal_answers.py",
            "faults/test_storage.py",
            "everyday/test_logs.py",
        ),
    ),
}


def main() -> int:
    """Returns 0, whatever survives: each of them has to be looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("subjects", nargs="*", choices=[[], *SUBJECTS])
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(options.processes) as pool,
    ):
        names = options.subjects or list(SUBJECTS)
        trials = [Trial(name, SUBJECTS[name], Path(folder) / name.replace(" ", "-")) for name in names]
        list(pool.map(Trial.begin, trials))
        draw(trials, options.count, random.Random(options.seed))
        results = list(pool.map(Trial.run, trials))
    for trial, survivors in zip(trials, results, strict=True):
        for diff in survivors:
            print(f"--- survives in {trial.name}:\n{diff}\n")
    survived, tried = sum(map(len, results)), sum(trial.drawn for trial in trials)
    for trial, survivors in zip(trials, results, strict=True):
        print(f"{trial.name}: {trial.drawn - len(survivors)} of {trial.drawn} died")
    print(f"{tried - survived} of {tried} died.")
    return 0


class Trial:
    """One subject, in a copy of the project."""

    def __init__(self, name: str, subject: Subject, folder: Path) -> None:
        self.name = name
        self.drawn = 0
        self._subject = subject
        self._folder = folder
        self._session = folder / "session.sqlite"

    def begin(self) -> None:
        """Finds all changes that there could be, and sees that the tests pass without any."""
        ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info")
        shutil.copytree(ROOT, self._folder, ignore=ignored)
        tests = [f"tests/{path}" for path in self._subject.tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-m", "not train and not soak and not system", *tests]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The tests of {self.name} fail without any change:\n{done.stdout}{done.stderr}")
        settings = {
            "module-path": [f"sleaprtc/{path}" for path in self._subject.modules],
            "timeout": TIMEOUT_SEC,
            "test-command": " ".join(f"'{word}'" for word in command),
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        config = ["[cosmic-ray]", *lines, "[cosmic-ray.distributor]", 'name = "local"']
        (self._folder / "mutants.toml").write_text("\n".join(config) + "\n")
        self._cosmic_ray("init")

    def places(self) -> Iterator[tuple[Trial, list[str]]]:
        """Yields the changes of each place, annotations aside: these are never evaluated."""
        found: dict[Any, list[Any]] = {}
        for item in self._items("pending_work_items"):
            (mutation,) = item.mutations
            if not self._is_annotation(mutation):
                place = (str(mutation.module_path), mutation.start_pos, mutation.end_pos)
                change = (mutation.operator_name, mutation.occurrence, repr(mutation.operator_args))
                found.setdefault(place, []).append((change, item.job_id))
        for _, changes in sorted(found.items()):  # the order is the same each time, the ids aren't
            yield self, [job_id for _, job_id in sorted(changes)]

    def leave(self, drawn: set[str]) -> None:
        """Leaves only these changes to be tried."""
        from cosmic_ray.work_db import use_db
        from cosmic_ray.work_item import WorkerOutcome, WorkResult

        with use_db(str(self._session)) as database:
            pending = [item.job_id for item in database.pending_work_items]
            others = [job_id for job_id in pending if job_id not in drawn]
            database.set_multiple_results(others, WorkResult(WorkerOutcome.SKIPPED))
        self.drawn = len(pending) - len(others)

    def run(self) -> list[str]:
        """Tries the changes; returns those that no test noticed."""
        self._cosmic_ray("exec")
        return [
            str(result.diff)
            for _, result in self._items("results")
            if result.test_outcome is not None and not result.is_killed
        ]

    def _cosmic_ray(self, verb: str) -> None:
        words = [sys.executable, "-m", "cosmic_ray.cli", verb, "mutants.toml", self._session.name]
        subprocess.run(words, cwd=self._folder, check=True)

    def _items(self, kind: str) -> list[Any]:
        from cosmic_ray.work_db import use_db

        with use_db(str(self._session)) as database:
            return list(getattr(database, kind))

    def _is_annotation(self, mutation: Any) -> bool:
        line, column = mutation.start_pos
        return any(
            (start, start_column) <= (line, column) < (end, end_column)
            for start, start_column, end, end_column in _annotations(self._folder / mutation.module_path)
        )


def _annotations(path: Path) -> Iterator[tuple[int, int, int, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                yield part.lineno, part.col_offset, part.end_lineno, part.end_col_offset


def draw(trials: list[Trial], count: int, chance: random.Random) -> None:
    """Draws places, and one change of each."""
    places = [place for trial in trials for place in trial.places()]
    drawn: dict[Trial, set[str]] = {trial: set() for trial in trials}
    for trial, job_ids in chance.sample(places, min(count, len(places))):
        drawn[trial].add(chance.choice(job_ids))
    for trial, job_ids in drawn.items():
        trial.leave(job_ids)


if __name__ == "__main__":
    sys.exit(main())
