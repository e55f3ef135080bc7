"""The server, the workers and the clients of a soak as processes, and where they run."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from ..processes import HOST, Programs, end, free_port
from ..proxy import Proxy
from .disks import missing_for_disks, open_disk
from .network import Network, missing_for_namespaces, open_network

SERVER = "server"
ROOM_SEC = 60
DISK_BYTES = 384 * 2**20
CACHE_MB = 64
"""Small beside the disk, so that what fills a disk is the fault and not the cache."""

_INVITE = re.compile(r"--invite '(sleap-rtc://\S+)'")


def engines() -> list[str]:
    """The WebRTC engines that are installed here."""
    return ["libwebrtc", "aiortc"] if importlib.util.find_spec("wrtc") else ["aiortc"]


@attrs.define(eq=False)
class World:
    """Everything that runs. Use :func:`open_world`.

    Attributes:
        folder: Everything lies below it.
        programs: How the programs are started.
        worker_names: All workers, whether they run just now or not.
        client_names: All clients.
        network: The network between them; None where they share 127.0.0.1.
        has_disks: Whether each worker and client has a small disk of its own.
        ws_path: Between everybody and the server's WebSocket port.
        http_path: The same for its HTTP port.
        server: The server's process.
        workers: The workers' processes.
        clients: The process of each client's present attempt.
        killed: Pids of clients that a fault has killed.
        invite: The room's, with its secret.
    """

    folder: Path
    programs: Programs
    worker_names: tuple[str, ...]
    client_names: tuple[str, ...]
    network: Network | None
    has_disks: bool
    ws_path: Proxy
    http_path: Proxy
    server: trio.Process | None = None
    workers: dict[str, trio.Process] = attrs.field(factory=dict)
    clients: dict[str, trio.Process] = attrs.field(factory=dict)
    killed: set[int] = attrs.field(factory=set)
    invite: str = ""

    def client_dir(self, client: str) -> Path:
        """Where a client's jobs are, on its disk if it has one."""
        return self.folder / client

    async def start_server(self) -> None:
        """Starts the server, or starts it again."""
        self.server = await self.programs.start_server()

    async def start_worker(self, name: str) -> None:
        """Starts a worker, or starts it again. The first one has made the room, and comes back to it."""
        number = self.worker_names.index(name)
        engine = engines()[number % len(engines())]
        room = () if number == 0 else ("--invite", self.invite)
        slots = str(max(len(self.client_names), 2))  # so that nobody is busy whom no fault keeps busy
        limits = ("--max-jobs", slots, "--cache-size-mb", str(CACHE_MB), "--no-qr")
        self.workers[name] = await self.programs.start_worker(name, "--engine", engine, *limits, *room)

    async def start_all(self) -> None:
        """Starts the server and all workers, and waits until they are in the room."""
        await self.start_server()
        first, *others = self.worker_names
        await self.start_worker(first)
        with trio.fail_after(ROOM_SEC):
            while (found := _INVITE.search(self.programs.said(first))) is None:
                await trio.sleep(0.05)
        self.invite = found[1]
        for name in others:
            await self.start_worker(name)
        with trio.fail_after(ROOM_SEC):
            for name in self.worker_names:
                while "waits for jobs" not in self.programs.said(name):
                    await trio.sleep(0.05)

    def running(self) -> Mapping[str, trio.Process]:
        """All processes that run now, by name."""
        everybody = {**self.workers, **self.clients}
        if self.server is not None:
            everybody[SERVER] = self.server
        return {name: process for name, process in everybody.items() if process.returncode is None}

    async def end_all(self) -> None:
        """Ends every process, each by its pid."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for process in self.clients.values():
                    nursery.start_soon(end, process, signal.SIGKILL)
                for process in self.workers.values():
                    nursery.start_soon(end, process)
            if self.server is not None:
                await end(self.server)


@asynccontextmanager
async def open_world(
    folder: Path, *, worker_count: int, client_count: int, use_root: bool
) -> AsyncIterator[World]:
    """Everything, started; nothing of it is left after the block: no process, namespace or disk.

    Args:
        folder: An empty folder.
        worker_count: How many workers.
        client_count: How many clients.
        use_root: Whether to have a network of namespaces and small disks, where this user can.
    """
    workers = tuple(f"worker-{number}" for number in range(1, worker_count + 1))
    clients = tuple(f"client-{number}" for number in range(1, client_count + 1))
    with ExitStack() as stack:
        network = None
        if use_root and missing_for_namespaces() is None:
            network = stack.enter_context(open_network((SERVER, *workers, *clients)))
        world = _world(folder, workers, clients, network, has_disks=use_root and missing_for_disks() is None)
        if world.has_disks:
            for name in workers:
                stack.enter_context(open_disk(world.programs.work_dir(name), DISK_BYTES))
            for name in clients:
                stack.enter_context(open_disk(world.client_dir(name), DISK_BYTES))
        async with trio.open_nursery() as nursery:
            await nursery.start(world.ws_path.run)
            await nursery.start(world.http_path.run)
            world.programs = attrs.evolve(
                world.programs, ws_path_port=world.ws_path.port, http_path_port=world.http_path.port
            )
            try:
                await world.start_all()
                yield world
            finally:
                await world.end_all()
            nursery.cancel_scope.cancel()


def _world(
    folder: Path,
    workers: tuple[str, ...],
    clients: tuple[str, ...],
    network: Network | None,
    *,
    has_disks: bool,
) -> World:
    if network is None:
        host, make_socket, inside = HOST, socket.socket, {}
    else:
        host, make_socket = network.address(SERVER), _on_server(network)
        inside = {name: network.inside(name) for name in (SERVER, *workers, *clients)}
    ws_port, http_port = free_port(), free_port()
    programs = Programs(
        folder, ws_port, http_port, 0, 0, host=host, ice_loopback=network is None, inside=inside
    )
    return World(
        folder=folder,
        programs=programs,
        worker_names=workers,
        client_names=clients,
        network=network,
        has_disks=has_disks,
        ws_path=Proxy(ws_port, host, make_socket=make_socket),
        http_path=Proxy(http_port, host, make_socket=make_socket),
    )


def _on_server(network: Network) -> Callable[[], socket.socket]:
    return lambda: network.on_host(SERVER, socket.socket)
