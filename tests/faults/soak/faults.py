"""Injects faults: one at a time, or two at once, and then none until jobs continue."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial

import attrs
import trio

from ..processes import end, processes_below
from .disks import fill, make_room
from .jobs import Scene
from .recovery import Concerned
from .summary import FaultDone

RECOVERED_SEC = 120
"""Within this time after a fault, everybody affected must finish a job: twice the longest wait for a
connection."""

PAUSE_SEC = (0.5, 4.0)
DOWN_SEC = (0.0, 3.0)
STOPPED_SEC = (0.5, 15.0)
SHORT_CUT_SEC = (1.0, 8.0)
LONG_CUT_SEC = (15.0, 40.0)
"""Longer than any of the timeouts by which a broken connection is noticed."""

LONG_CUT_SHARE = 0.25
FULL_SEC = (2.0, 12.0)
FILL_INTERVAL_SEC = 0.2
TWO_AT_ONCE_SHARE = 0.2
TRAINER_WAIT_SEC = 20

NETWORK, DISKS = "network", "disks"


@attrs.frozen
class Kind:
    """A kind of fault.

    Attributes:
        name: The name under which it is counted.
        needs: ``network`` or ``disks`` if it needs one of them.
        happen: Injects it, and returns whom it affected and what it was; None if there was nothing to break.
    """

    name: str
    happen: Callable[[Breaker, random.Random], Awaitable[tuple[Concerned, str] | None]]
    needs: str | None = None


class Breaker:
    """Breaks things and waits until they go on, over and over.

    Args:
        scene: The state that all parts share.
        kinds: The kinds of fault to inject.
    """

    def __init__(self, scene: Scene, kinds: Collection[Kind]) -> None:
        self._scene = scene
        self._world = scene.world
        self._kinds = list(kinds)
        self._everybody = Concerned(scene.world.client_names)

    async def run(self, until: float) -> None:
        """Injects faults until that time on Trio's clock. Each round depends on the seed and its number."""
        order = random.Random(f"{self._scene.seed} faults")
        number, bag = 0, []
        while trio.current_time() < until and self._kinds:
            if not bag:
                bag = order.sample(self._kinds, len(self._kinds))
            kinds = [bag.pop()]
            if bag and order.random() < TWO_AT_ONCE_SHARE:
                kinds.append(bag.pop())
            number += 1
            rng = random.Random(f"{self._scene.seed} round {number}")
            await trio.sleep(rng.uniform(*PAUSE_SEC))
            await self._round(kinds, rng)

    async def _round(self, kinds: list[Kind], rng: random.Random) -> None:
        results: list[Concerned] = []
        faults: list[FaultDone] = []

        async def happen(kind: Kind, own_rng: random.Random) -> None:
            fault = FaultDone(kind.name, "", self._scene.now())
            self._scene.tally.faults.append(fault)
            happened = await kind.happen(self, own_rng)
            fault.ended_at = self._scene.now()
            if happened is None:
                self._scene.tally.faults.remove(fault)
                return
            concerned, fault.what = happened
            self._scene.note(f"{kind.name}: {fault.what}")
            results.append(concerned)
            faults.append(fault)

        async with trio.open_nursery() as nursery:
            for kind in kinds:
                nursery.start_soon(happen, kind, random.Random(rng.random()))
        if len(results) == 1:
            await self._until_recovered(results[0], faults)
        elif results:
            await self._until_recovered(self._everybody, faults)

    async def _until_recovered(self, concerned: Concerned, faults: list[FaultDone]) -> None:
        ended_at = trio.current_time()
        self._scene.wanted_worker = concerned.worker
        with trio.move_on_after(RECOVERED_SEC) as limit:
            goes_on_sec = await self._scene.progress.until(concerned, ended_at, done=False)
            for fault in faults:
                fault.goes_on_sec = goes_on_sec
            done_sec = await self._scene.progress.until(concerned, ended_at, done=True)
            for fault in faults:
                fault.done_sec = done_sec
        self._scene.wanted_worker = None
        if limit.cancelled_caught:
            what = " and ".join(f"{fault.kind} ({fault.what})" for fault in faults)
            who = concerned.worker or ", ".join(concerned.clients)
            self._scene.lose(f"{RECOVERED_SEC} s after {what}, {who} had no job done")

    def of_worker(self, name: str) -> Concerned:
        return Concerned(self._world.client_names, name)

    def of_client(self, name: str) -> Concerned:
        return Concerned((name,))

    # --- the server -------------------------------------------------------------------------

    async def end_server(self, rng: random.Random, *, number: signal.Signals) -> tuple[Concerned, str]:
        down_sec = rng.uniform(*DOWN_SEC)
        assert self._world.server is not None
        await end(self._world.server, number)
        await trio.sleep(down_sec)
        await self._world.start_server()
        return self._everybody, f"down for {down_sec:.1f} s"

    async def stop_server(self, rng: random.Random) -> tuple[Concerned, str]:
        stopped_sec = rng.uniform(*STOPPED_SEC)
        assert self._world.server is not None
        await _stop(self._world.server, stopped_sec)
        return self._everybody, f"stopped for {stopped_sec:.1f} s"

    # --- workers ----------------------------------------------------------------------------

    async def end_worker(self, rng: random.Random, *, number: signal.Signals) -> tuple[Concerned, str]:
        name, down_sec = rng.choice(self._world.worker_names), rng.uniform(*DOWN_SEC)
        status = self._world.workers[name].poll()
        if status is not None:
            self._scene.lose(f"{name} ended by itself with status {status}")
        await end(self._world.workers[name], number)
        await trio.sleep(down_sec)
        await self._world.start_worker(name)
        return self.of_worker(name), f"{name}, down for {down_sec:.1f} s"

    async def stop_worker(self, rng: random.Random) -> tuple[Concerned, str]:
        name, stopped_sec = rng.choice(self._world.worker_names), rng.uniform(*STOPPED_SEC)
        await _stop(self._world.workers[name], stopped_sec)
        return self.of_worker(name), f"{name}, stopped for {stopped_sec:.1f} s"

    async def kill_trainer(self, rng: random.Random) -> tuple[Concerned, str] | None:
        """Kills the process group of a training, as the kernel does if memory is short."""
        names = rng.sample(self._world.worker_names, len(self._world.worker_names))
        with trio.move_on_after(TRAINER_WAIT_SEC):
            while True:
                for name in names:
                    for pid in processes_below(self._world.programs.work_dir(name) / "jobs"):
                        with suppress(ProcessLookupError):
                            os.killpg(os.getpgid(pid), signal.SIGKILL)
                            return self.of_worker(name), f"on {name}"
                await trio.sleep(0.05)
        return None

    # --- clients ----------------------------------------------------------------------------

    async def kill_client(self, rng: random.Random) -> tuple[Concerned, str] | None:
        name = rng.choice(self._world.client_names)
        process = self._world.clients.get(name)
        if process is None or process.poll() is not None:
            return None
        self._world.killed.add(process.pid)
        process.kill()
        return self.of_client(name), name

    async def stop_client(self, rng: random.Random) -> tuple[Concerned, str] | None:
        name, stopped_sec = rng.choice(self._world.client_names), rng.uniform(*STOPPED_SEC)
        if name not in self._world.clients:
            return None
        await _stop(self._world.clients[name], stopped_sec)
        return self.of_client(name), f"{name}, stopped for {stopped_sec:.1f} s"

    # --- paths to the server ----------------------------------------------------------------

    async def reset_paths(self, _: random.Random) -> tuple[Concerned, str]:
        self._world.ws_path.cut()
        self._world.http_path.cut()
        return self._everybody, "all connections to the server"

    async def half_open_paths(self, rng: random.Random) -> tuple[Concerned, str]:
        """Makes connections half open: both ends take them for alive until they are reset."""
        silent_sec = rng.uniform(*STOPPED_SEC)
        self._world.ws_path.freeze()
        await trio.sleep(silent_sec)
        self._world.ws_path.cut()
        return self._everybody, f"silent for {silent_sec:.1f} s"

    async def slow_paths(self, rng: random.Random) -> tuple[Concerned, str]:
        slow_sec = rng.uniform(*STOPPED_SEC)
        self._world.ws_path.delay_sec = 0.3
        await trio.sleep(slow_sec)
        self._world.ws_path.delay_sec = 0.0
        return self._everybody, f"0.3 s slower for {slow_sec:.1f} s"

    # --- the network ------------------------------------------------------------------------

    async def cut_network(self, rng: random.Random, *, udp_only: bool) -> tuple[Concerned, str]:
        host, concerned = self._draw_host(rng)
        limits = LONG_CUT_SEC if rng.random() < LONG_CUT_SHARE else SHORT_CUT_SEC
        cut_sec = rng.uniform(*limits)
        assert self._world.network is not None
        with self._world.network.cut(host, udp_only=udp_only):
            await trio.sleep(cut_sec)
        return concerned, f"{host}, for {cut_sec:.1f} s"

    async def change_address(self, rng: random.Random, *, of_client: bool) -> tuple[Concerned, str]:
        host, concerned = self._draw_host(rng, of_client=of_client)
        away_sec = rng.uniform(*DOWN_SEC)
        assert self._world.network is not None
        self._world.network.leave_network(host)
        await trio.sleep(away_sec)
        self._world.network.join_another_network(host)
        address = self._world.network.address(host)
        return concerned, f"{host} is at {address} after {away_sec:.1f} s without a network"

    def _draw_host(self, rng: random.Random, *, of_client: bool | None = None) -> tuple[str, Concerned]:
        if of_client is None:
            of_client = rng.random() < 0.5
        if of_client:
            name = rng.choice(self._world.client_names)
            return name, self.of_client(name)
        name = rng.choice(self._world.worker_names)
        return name, self.of_worker(name)

    # --- disks ------------------------------------------------------------------------------

    async def fill_disk(self, rng: random.Random, *, of_client: bool) -> tuple[Concerned, str]:
        host, concerned = self._draw_host(rng, of_client=of_client)
        folder = self._world.client_dir(host) if of_client else self._world.programs.work_dir(host)
        full_sec = rng.uniform(*FULL_SEC)
        try:
            with trio.move_on_after(full_sec):
                while True:  # what others free meanwhile is taken, too
                    await trio.to_thread.run_sync(fill, folder)
                    await trio.sleep(FILL_INTERVAL_SEC)
        finally:
            make_room(folder)
        return concerned, f"{host}, for {full_sec:.1f} s"


async def _stop(process: trio.Process, stopped_sec: float) -> None:
    """Stops a process for a while, as a laptop's lid does."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGSTOP)
    try:
        await trio.sleep(stopped_sec)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)


KINDS = (
    Kind("server killed", partial(Breaker.end_server, number=signal.SIGKILL)),
    Kind("server restarted", partial(Breaker.end_server, number=signal.SIGTERM)),
    Kind("server stopped", Breaker.stop_server),
    Kind("worker killed", partial(Breaker.end_worker, number=signal.SIGKILL)),
    Kind("worker restarted", partial(Breaker.end_worker, number=signal.SIGTERM)),
    Kind("worker stopped", Breaker.stop_worker),
    Kind("trainer killed", Breaker.kill_trainer),
    Kind("client killed", Breaker.kill_client),
    Kind("client stopped", Breaker.stop_client),
    Kind("paths reset", Breaker.reset_paths),
    Kind("paths half open", Breaker.half_open_paths),
    Kind("paths slow", Breaker.slow_paths),
    Kind("network cut", partial(Breaker.cut_network, udp_only=False), NETWORK),
    Kind("UDP cut", partial(Breaker.cut_network, udp_only=True), NETWORK),
    Kind("client's address changed", partial(Breaker.change_address, of_client=True), NETWORK),
    Kind("worker's address changed", partial(Breaker.change_address, of_client=False), NETWORK),
    Kind("worker's disk full", partial(Breaker.fill_disk, of_client=False), DISKS),
    Kind("client's disk full", partial(Breaker.fill_disk, of_client=True), DISKS),
)
"""All kinds of fault."""
