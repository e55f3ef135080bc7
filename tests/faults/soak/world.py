"""The processes of a soak: server, workers and clients, with their network and disks."""

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

from ...support.ports import free_port
from ...support.waiting import until
from ..processes import HOST, Programs, end
from ..proxy import Proxy
from .disks import missing_for_disks, open_disk
from .network import Network, missing_for_namespaces, open_network

SERVER = "server"
ROOM_SEC = 60
CLIENT_DISK_BYTES = 384 * 2**20
WORKER_DISK_BYTES = 3 * 2**30
"""Room for as many jobs as there are clients, each of which reserves half a gigabyte, and for the cache."""
CACHE_MB = 64
"""Small compared to the disk, so that only faults fill a disk, not the cache."""

_INVITE = re.compile(r"--invite '(sleap-rtc://\S+)'")


def engines() -> list[str]:
    """Returns the WebRTC engines that are installed here."""
    return ["libwebrtc", "aiortc"] if importlib.util.find_spec("wrtc") else ["aiortc"]


@attrs.define(eq=False)
class World:
    """Everything that runs. Use :func:`open_world`.

    Attributes:
        folder: The folder that contains everything.
        programs: How the programs are started.
        worker_names: The names of all workers, running or not.
        client_names: The names of all clients.
        network: The network between them; None if they share 127.0.0.1.
        has_disks: Whether each worker and client has a small disk of its own.
        ws_path: The proxy in front of the server's WebSocket port.
        http_path: The proxy in front of the server's HTTP port.
        server: The server's process.
        workers: The workers' processes.
        clients: The process of each client's present attempt.
        killed: Pids of clients that a fault has killed.
        invite: The room's invite, with its secret.
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
        """Returns the folder for a client's jobs, on its own disk if it has one."""
        return self.folder / client

    async def start_server(self) -> None:
        """Starts or restarts the server."""
        self.server = await self.programs.start_server()

    async def start_worker(self, name: str) -> None:
        """Starts or restarts a worker. The first worker makes the room, and comes back to it."""
        number = self.worker_names.index(name)
        engine = engines()[number % len(engines())]
        room = () if number == 0 else ("--invite", self.invite)
        slots = str(max(len(self.client_names), 2))  # enough, so that only faults make a worker busy
        limits = ("--max-jobs", slots, "--cache-size-mb", str(CACHE_MB), "--no-qr")
        self.workers[name] = await self.programs.start_worker(name, "--engine", engine, *limits, *room)

    async def start_all(self) -> None:
        """Starts the server and all workers, and waits until they are in the room."""
        await self.start_server()
        first, *others = self.worker_names
        await self.start_worker(first)
        found = await until(lambda: _INVITE.search(self.programs.said(first)), patience_sec=ROOM_SEC)
        self.invite = found[1]
        for name in others:
            await self.start_worker(name)
        await until(
            lambda: all("waits for jobs" in self.programs.said(name) for name in self.worker_names),
            patience_sec=ROOM_SEC,
        )

    def running(self) -> Mapping[str, trio.Process]:
        """Returns all running processes by name."""
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
    """Starts everything; after the block no process, namespace or disk is left.

    Args:
        folder: An empty folder.
        worker_count: The number of workers.
        client_count: The number of clients.
        use_root: Whether to use a network of namespaces and small disks if this user can have them.
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
                stack.enter_context(open_disk(world.programs.work_dir(name), WORKER_DISK_BYTES))
            for name in clients:
                stack.enter_context(open_disk(world.client_dir(name), CLIENT_DISK_BYTES))
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
