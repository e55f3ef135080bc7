"""A network of namespaces around one router, in which paths are cut and addresses change. Needs root.

Each host has one interface, ``eth0``, to the router, and reaches all others through it. Faults are routing
rules of the router (ip-rule(8)), which every kernel has: packets that match a blackhole rule are dropped
silently. The machine's own network isn't touched.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import attrs

T = TypeVar("T")

NAMESPACES = Path("/run/netns")
PREFIX = "soak"
_CLONE_NEWNET = 0x40000000  # sched.h
_FIRST_NET, _NETS = 64, 128
_libc = ctypes.CDLL(None, use_errno=True)


def missing_for_namespaces() -> str | None:
    """Returns why this user can't create namespaces on this machine, or None if they can."""
    if os.geteuid() != 0:
        return "they need root"
    for command in ("ip", "nsenter"):
        if shutil.which(command) is None:
            return f"there is no command `{command}`"
    return None


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


@attrs.define
class _Host:
    """One host: its number on the router, and the network that it is in now."""

    number: int
    net: int = _FIRST_NET

    @property
    def subnet(self) -> str:
        return f"10.{self.net}.{self.number}.0/24"

    @property
    def address(self) -> str:
        return f"10.{self.net}.{self.number}.2"

    @property
    def gateway(self) -> str:
        return f"10.{self.net}.{self.number}.1"

    @property
    def port(self) -> str:
        return f"host{self.number}"


class Network:
    """Hosts by name. Use :func:`open_network`."""

    def __init__(self) -> None:
        self._tag = f"{PREFIX}{os.getpid()}"
        self._router = f"{self._tag}-router"
        self._hosts: dict[str, _Host] = {}

    def _namespace(self, host: str) -> str:
        return f"{self._tag}-{host}"

    def add_router(self) -> None:
        """Makes the router."""
        _ip("netns", "add", self._router)
        _ip("-n", self._router, "link", "set", "lo", "up")
        forward = Path("/proc/sys/net/ipv4/ip_forward")
        _in_namespace(self._router, lambda: forward.write_text("1"))

    def add_host(self, name: str) -> None:
        """Makes a host and joins it to the router."""
        host = self._hosts[name] = _Host(len(self._hosts) + 1)
        space = self._namespace(name)
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")
        names = ("add", host.port, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("-n", self._router, "link", *names)
        _ip("-n", self._router, "link", "set", host.port, "up")
        self._connect(name)

    def _connect(self, name: str) -> None:
        host, space = self._hosts[name], self._namespace(name)
        _ip("-n", self._router, "addr", "add", f"{host.gateway}/24", "dev", host.port)
        _ip("-n", space, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "route", "add", "default", "via", host.gateway)

    def leave_network(self, name: str) -> None:
        """Removes a host's address, as when a laptop leaves its network."""
        host, space = self._hosts[name], self._namespace(name)
        _ip("-n", space, "link", "set", "eth0", "down")
        _ip("-n", space, "addr", "flush", "dev", "eth0")
        _ip("-n", self._router, "addr", "del", f"{host.gateway}/24", "dev", host.port)

    def join_another_network(self, name: str) -> None:
        """Gives a host that left its network an address in another one."""
        host = self._hosts[name]
        host.net = _FIRST_NET + (host.net + 1 - _FIRST_NET) % _NETS
        self._connect(name)

    @contextmanager
    def cut(self, name: str, *, udp_only: bool = False) -> Iterator[None]:
        """Drops packets to and from a host: all of them, or all UDP."""
        host = self._hosts[name]
        what = ("ipproto", "udp") if udp_only else ()
        rules = [(*way, *what, "blackhole") for way in (("iif", host.port), ("to", host.subnet))]
        for rule in rules:
            _ip("-n", self._router, "rule", "add", *rule)
        try:
            yield
        finally:
            for rule in rules:
                _ip("-n", self._router, "rule", "del", *rule, check=False)

    def address(self, name: str) -> str:
        """Returns a host's present address."""
        return self._hosts[name].address

    def inside(self, name: str) -> tuple[str, ...]:
        """Returns the words to put before a command to run it on a host; the pid stays the command's own."""
        return ("nsenter", f"--net={NAMESPACES / self._namespace(name)}", "--")

    def on_host(self, name: str, make: Callable[[], T]) -> T:
        """Calls a function on a host. A socket that it makes belongs to that host, whoever uses it."""
        return _in_namespace(self._namespace(name), make)

    def close(self) -> None:
        """Deletes all namespaces, with all their settings."""
        _delete([self._router, *map(self._namespace, self._hosts)])


def _in_namespace(namespace: str, make: Callable[[], T]) -> T:
    """Runs a function in a thread of its own, since setns(2) changes only the thread's namespace."""
    results: list[T] = []
    errors: list[BaseException] = []

    def enter_and_make() -> None:
        try:
            descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY)
            try:
                if _libc.setns(descriptor, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns to {namespace}")
            finally:
                os.close(descriptor)
            results.append(make())
        except BaseException as error:  # raised below, in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=enter_and_make)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _delete(namespaces: Sequence[str]) -> None:
    for namespace in namespaces:
        _ip("netns", "del", namespace, check=False)


def _delete_leftovers() -> None:
    """Deletes namespaces left by soaks that were killed."""
    for path in NAMESPACES.glob(f"{PREFIX}*-*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            _delete([path.name])


@contextmanager
def open_network(hosts: Sequence[str]) -> Iterator[Network]:
    """Creates a network with these hosts, and deletes it however the block ends."""
    _delete_leftovers()
    network = Network()
    try:
        network.add_router()
        for host in hosts:
            network.add_host(host)
        yield network
    finally:
        network.close()
