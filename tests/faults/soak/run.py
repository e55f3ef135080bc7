"""The whole soak: starts everything, runs jobs while faults are injected, and then looks for leftovers."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from pathlib import Path

import trio

from sleaprtc.jobs.life import is_underway, keeps_result
from sleaprtc.worker.journal.store import Journal

from ..processes import end, processes_below
from .disks import missing_for_disks
from .faults import DISKS, KINDS, NETWORK, Breaker, Kind
from .jobs import Client, Scene
from .measuring import Census, clients_of, growth_of, leaks_in
from .network import missing_for_namespaces
from .recovery import Progress
from .summary import Tally
from .world import SERVER, World, engines, open_world

SETTLE_SEC = 90
"""How long workers may take to finish jobs whose clients have given up (CONNECT_SEC is 60)."""

CALM_SEC = 12
"""How long no job runs before memory, descriptors and threads are measured at the end."""

PRESENT_SEC = 60


class Soak:
    """One server, some workers, and some clients that each do one job after another.

    Args:
        folder: An empty folder, which contains all logs afterwards.
        seed: Determines faults, datasets and trainings, but not who wins a race.
        minutes: How long new faults are injected.
        workers: The number of workers.
        clients: The number of clients, and so of jobs at the same time.
        use_root: Whether to use namespaces and small disks if this user can have them.
        only: The only kinds of fault to inject; if empty, all kinds.
        without: Kinds of fault to leave out.
        say: Called with a sentence about what happens.

    Attributes:
        tally: The results so far.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        minutes: float,
        workers: int = 2,
        clients: int = 2,
        use_root: bool = True,
        only: Collection[str] = (),
        without: Collection[str] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._seed = seed
        self._minutes = minutes
        self._workers = workers
        self._clients = clients
        self._use_root = use_root
        self._kinds = [kind for kind in KINDS if (not only or kind.name in only) and kind.name not in without]
        self._say = say
        self.tally = Tally(seed, minutes)

    async def run(self) -> Tally:
        """Runs the soak, and leaves no process, namespace or disk behind, even if it is cancelled."""
        kinds = self._possible_kinds()
        self.tally.was_interrupted = True  # until the soak has completed
        world_of = open_world(
            self._folder, worker_count=self._workers, client_count=self._clients, use_root=self._use_root
        )
        async with world_of as world:
            scene = Scene(self._seed, world, self.tally, Progress(), Census(), self._say, trio.current_time())
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(scene.census.run, lambda: _pids(world))
                    await self._work(scene, kinds)
                    await _settle(scene)
                    await trio.sleep(CALM_SEC)
                    nursery.cancel_scope.cancel()
            finally:
                self._measure(world, scene.census)
            with trio.CancelScope(shield=True):
                await world.end_all()
            _look_for_remains(scene)
        self.tally.was_interrupted = False
        return self.tally

    def _possible_kinds(self) -> list[Kind]:
        """Returns the kinds of fault that are possible here, and records those that aren't."""
        missing = {NETWORK: missing_for_namespaces(), DISKS: missing_for_disks()}
        if not self._use_root:
            missing = dict.fromkeys(missing, "they were not wanted")
        for need, reason in missing.items():
            names = [kind.name for kind in self._kinds if kind.needs == need]
            if reason is not None and names:
                what = "namespaces" if need == NETWORK else "small disks"
                self.tally.left_out.append(f"{', '.join(names)} (no {what}: {reason})")
        if "libwebrtc" not in engines():
            self.tally.left_out.append("the engine libwebrtc (the extra `fast` isn't installed)")
        return [kind for kind in self._kinds if kind.needs is None or missing[kind.needs] is None]

    async def _work(self, scene: Scene, kinds: Collection[Kind]) -> None:
        async with trio.open_nursery() as nursery:
            for name in scene.world.client_names:
                nursery.start_soon(Client(name, scene).do_jobs)
            until = trio.current_time() + self._minutes * 60
            await Breaker(scene, kinds).run(until)
            await trio.sleep_until(until)  # without any kind of fault
            scene.is_over = True

    def _measure(self, world: World, census: Census) -> None:
        for name in (SERVER, *world.worker_names):
            growth = growth_of(name, [life for life in census.lives if life.name == name])
            self.tally.growth.append(growth)
            self.tally.losses.extend(leaks_in(growth))
        clients = [life for life in census.lives if life.name in world.client_names]
        self.tally.growth.append(clients_of(clients))


def _pids(world: World) -> dict[str, int]:
    return {name: process.pid for name, process in world.running().items()}


async def _settle(scene: Scene) -> None:
    """Waits until no worker has anything to do, and checks that each runs and is in the room."""
    world = scene.world
    with trio.move_on_after(SETTLE_SEC):
        while processes_below(world.folder):
            await trio.sleep(0.5)
        for name in world.worker_names:
            while _unfinished(world, name):
                await trio.sleep(0.5)
    for name in world.worker_names:
        status = world.workers[name].poll()
        if status is not None:
            scene.lose(f"{name} ended by itself with status {status}")
        for job_id in _unfinished(world, name):
            scene.lose(f"{name} still works on {job_id}, for which nobody waits")
    with trio.move_on_after(PRESENT_SEC) as limit:
        while absent := set(world.worker_names) - await _workers_in_room(world):
            await trio.sleep(1)
    if limit.cancelled_caught:
        scene.lose(f"not in the room, or busy, {PRESENT_SEC} s after the last job: {', '.join(absent)}")


async def _workers_in_room(world: World) -> set[str]:
    """Returns the free workers, as `client workers` lists them."""
    name, state_dir = "workers", world.folder / "state-of-workers"
    for suffix in (".out", ".err"):
        (world.folder / f"{name}{suffix}").unlink(missing_ok=True)
    words = ("workers", "--invite", world.invite)
    process = await world.programs.start_client(
        name, *words, state_dir=state_dir, place=world.client_names[0]
    )
    try:
        await process.wait()
    finally:
        await end(process)
    found = set()
    for line in (world.folder / f"{name}.out").read_text().splitlines():
        with suppress(ValueError, KeyError):
            worker = json.loads(line)
            if worker["status"] == "available":
                found.add(worker["worker"])
    return found


def _unfinished(world: World, name: str) -> list[str]:
    with closing(Journal(world.programs.work_dir(name) / "journal.sqlite3")) as journal:
        return [entry.job_id for entry in journal.entries() if is_underway(entry.state)]


def _look_for_remains(scene: Scene) -> None:
    world = scene.world
    for pid in processes_below(world.folder):
        scene.lose(f"process {pid} runs on")
    for name in world.worker_names:
        work_dir = world.programs.work_dir(name)
        with closing(Journal(work_dir / "journal.sqlite3")) as journal:
            kept = {
                entry.directory: entry.archive for entry in journal.entries() if keeps_result(entry.state)
            }
        for folder in (work_dir / "jobs").iterdir():
            if folder not in kept:
                scene.lose(f"{name} left {folder.name}")
            elif list(folder.iterdir()) != [kept[folder]]:
                scene.lose(f"{name} keeps more than the model in {folder.name}")
    for name in (SERVER, *world.worker_names):
        if "Traceback" in world.programs.said(name):
            scene.lose(f"{name} wrote a traceback")
