"""``python -m benchmarks.signaling``: measures the signaling server, and compares it with bare relays."""

from __future__ import annotations

import itertools
import json
import socket
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click

from sleaprtc.identity.issuer import TokenIssuer

from .load import (
    HOST,
    Flights,
    Peer,
    client_frame,
    close_peers,
    exchange,
    latencies,
    open_peers,
    percentile,
    server_frame_size,
)
from .processes import Running, raise_file_limit, running
from .report import Report, alternate, median_of

RELAYS = ("trio-websocket", "websockets")
MESSAGE_CHARS = 300
ROUTING_PEERS = 64
MAX_SOCKETS = 12_000
METADATA = {
    "tags": ["sleap-rtc", "training-worker", "inference-worker"],
    "properties": {
        "gpu_memory_mb": 16384,
        "gpu_model": "NVIDIA RTX 4090",
        "sleap_version": "1.3.0",
        "cuda_version": "11.8",
        "hostname": "gpu-server-01.lab.edu",
        "status": "available",
        "max_concurrent_jobs": 1,
        "supported_models": ["base", "centroid", "topdown"],
    },
}


@attrs.frozen
class Size:
    """The size of a benchmark; ``--quick`` has a smaller one.

    Attributes:
        runs: Alternating runs of each measurement.
        messages: Messages in one run of routing.
        seconds: The duration of one run of latencies.
        peers: The largest number of peers.
    """

    runs: int = 3
    messages: int = 40_000
    seconds: float = 4
    peers: int = 5000


QUICK = Size(runs=1, messages=5000, seconds=1, peers=400)


@attrs.frozen
class Measured:
    """The figures of one run.

    Attributes:
        per_sec: Operations a second.
        cpu_us: The server's processor time for one operation, in µs.
        kib: Resident memory for one peer in KiB, if that was measured.
    """

    per_sec: float
    cpu_us: float
    kib: float = 0.0


def message(sender: str, target: str) -> str:
    """Returns a peer message of ``MESSAGE_CHARS`` characters, like those of a job."""
    payload = {
        "app_message_type": "job_status",
        "job_id": "job-uuid-789",
        "status": "running",
        "progress": 0.25,
        "details": {"current_epoch": 25, "total_epochs": 100, "current_loss": 0.0456},
        "message": "",
    }
    whole: dict[str, Any] = {
        "type": "peer_message",
        "from_peer_id": sender,
        "to_peer_id": target,
        "payload": payload,
    }
    payload["message"] = "x" * (MESSAGE_CHARS - len(json.dumps(whole)))
    return json.dumps(whole)


# --- our server -----------------------------------------------------------------------------


@attrs.frozen
class OurServer:
    """Our server, running, with an issuer of tokens for accounts on it."""

    process: Running
    issuer: TokenIssuer

    def registrations(self, count: int, rooms: int = 1) -> list[bytes]:
        """Creates rooms, and returns the frames with which ``count`` accounts join them."""
        per_room = -(-count // rooms)
        made = [self._create_room() for _ in range(rooms)]
        return [
            client_frame(
                json.dumps(
                    {
                        "type": "register",
                        "peer_id": f"peer-{number:05}",
                        "room_id": made[number // per_room]["room_id"],
                        "token": made[number // per_room]["token"],
                        "id_token": self._id_token(),
                        "role": "worker",
                        "metadata": METADATA,
                    }
                )
            )
            for number in range(count)
        ]

    def open_peers(self, count: int, rooms: int = 1) -> list[Peer]:
        """Registers ``count`` peers."""
        return open_peers(self.process.ports[0], self.registrations(count, rooms))

    def _id_token(self) -> str:
        return self.issuer.issue(now=time.time())[0]

    def _create_room(self) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://{HOST}:{self.process.ports[1]}/create-room",
            b"{}",
            {"Authorization": f"Bearer {self._id_token()}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            made: dict[str, Any] = json.load(answer)
            return made


@contextmanager
def our_server() -> Iterator[OurServer]:
    """Runs our server with an empty state folder."""
    with (
        tempfile.TemporaryDirectory() as state_dir,
        running("benchmarks.relays", "ours", state_dir) as process,
    ):
        yield OurServer(process, TokenIssuer.from_state_dir(Path(state_dir)))


# --- routing --------------------------------------------------------------------------------


def partner(number: int) -> int:
    """Returns the peer to which a peer sends: 0 and 1 send to each other, 2 and 3, and so on."""
    return number ^ 1


def routing_frames(count: int) -> list[bytes]:
    """Returns the frames that ``count`` peers send to their partners."""
    return [client_frame(message(f"peer-{n:05}", f"peer-{partner(n):05}")) for n in range(count)]


def measure_routing(process: Running, peers: Sequence[Peer], messages: int, window: int) -> Measured:
    """Measures routing while all peers send to their partners."""
    answer_size = server_frame_size(message("peer-00000", "peer-00001"))
    frames = routing_frames(len(peers))
    exchange(peers, frames, answer_size, window=1, messages=2 * len(peers))  # warms up
    cpu_sec = process.cpu_sec()
    seconds = exchange(peers, frames, answer_size, window=window, messages=messages)
    return Measured(messages / seconds, (process.cpu_sec() - cpu_sec) / messages * 1e6)


def route_ours(size: Size, window: int, count: int = ROUTING_PEERS) -> Measured:
    """Measures routing by our server, with all its checks."""
    with our_server() as server:
        peers = server.open_peers(count)
        try:
            return measure_routing(server.process, peers, size.messages, window)
        finally:
            close_peers(peers)


def route_bare(relay: str, size: Size, window: int) -> Measured:
    """Measures routing by a bare relay, without any checks."""
    with running("benchmarks.relays", relay) as process:
        names = [client_frame(f"peer-{number:05}") for number in range(ROUTING_PEERS)]
        peers = open_peers(process.ports[0], names)
        try:
            return measure_routing(process, peers, size.messages, window)
        finally:
            close_peers(peers)


def report_routing(report: Report, size: Size, window: int) -> None:
    """Compares our server's routing with the bare relays'."""
    results = alternate(
        size.runs,
        {
            "ours": lambda: route_ours(size, window),
            **{relay: lambda relay=relay: route_bare(relay, size, window) for relay in RELAYS},  # type: ignore[misc]
        },
    )
    what = f"routing, {ROUTING_PEERS} peers, {window} on the way each"
    for name, measured in results.items():
        report.add(f"{what}: {name}", median_of(measured, "per_sec"), "messages/s")
        report.add(f"{what}: {name}, server's CPU", median_of(measured, "cpu_us"), "µs/message")
    ours = results["ours"]
    for relay, at_least in zip(RELAYS, (0.9, 1.0), strict=True):
        speed = median_of(ours, "per_sec") / median_of(results[relay], "per_sec")
        cpu = median_of(results[relay], "cpu_us") / median_of(ours, "cpu_us")
        report.add(f"{what}: ours over {relay}", speed, "x", at_least=at_least)
        report.add(f"{what}: ours over {relay}, by CPU", cpu, "x", at_least=at_least)


# --- joining --------------------------------------------------------------------------------


def join_ours(count: int) -> Measured:
    """Registers ``count`` peers, each with an id token of its own, in rooms of a thousand."""
    with our_server() as server:
        close_peers(server.open_peers(8))
        frames = server.registrations(count, rooms=max(1, count // 1000))
        empty_kib, cpu_sec, started_at = (
            server.process.resident_kib(),
            server.process.cpu_sec(),
            time.perf_counter(),
        )
        peers = open_peers(server.process.ports[0], frames)
        seconds = time.perf_counter() - started_at
        cpu_sec = server.process.cpu_sec() - cpu_sec
        time.sleep(0.5)
        kib = (server.process.resident_kib() - empty_kib) / count
        close_peers(peers)
    return Measured(count / seconds, cpu_sec / count * 1e6, kib)


def connect_bare(relay: str, count: int) -> Measured:
    """Measures connections to a bare relay, which has no registration."""
    with running("benchmarks.relays", relay) as process:
        names = [client_frame(f"peer-{number:05}") for number in range(count)]
        close_peers(open_peers(process.ports[0], names[:8]))
        empty_kib, cpu_sec, started_at = process.resident_kib(), process.cpu_sec(), time.perf_counter()
        peers = open_peers(process.ports[0], names)
        seconds = time.perf_counter() - started_at
        cpu_sec = process.cpu_sec() - cpu_sec
        time.sleep(0.5)
        kib = (process.resident_kib() - empty_kib) / count
        close_peers(peers)
    return Measured(count / seconds, cpu_sec / count * 1e6, kib)


def report_joining(report: Report, size: Size) -> None:
    """Reports the rate and memory of joining, and of connecting to the bare relays."""
    results = alternate(
        size.runs,
        {
            "ours": lambda: join_ours(size.peers),
            **{relay: lambda relay=relay: connect_bare(relay, size.peers) for relay in RELAYS},  # type: ignore[misc]
        },
    )
    what = f"{size.peers:,} idle peers"
    for name, measured in results.items():
        ours = name == "ours"
        verb = "joining" if ours else "connecting"
        report.add(
            f"{what}: {name}, {verb}", median_of(measured, "per_sec"), "/s", at_least=500 if ours else None
        )
        report.add(f"{what}: {name}, {verb}, server's CPU", median_of(measured, "cpu_us"), "µs")
        report.add(
            f"{what}: {name}, memory", median_of(measured, "kib"), "KiB/peer", at_most=40 if ours else None
        )


# --- one room with disturbances -------------------------------------------------------------


def discovery_frame(asker: str) -> bytes:
    """Returns a frame that asks for workers by role, tags and properties that all peers match."""
    filters = {
        "role": "worker",
        "tags": ["sleap-rtc", "training-worker"],
        "properties": {"gpu_memory_mb": {"$gte": 8192}, "sleap_version": "1.3.0", "status": "available"},
    }
    return client_frame(json.dumps({"type": "discover_peers", "from_peer_id": asker, "filters": filters}))


def measure_discovery(server: OurServer, peers: Sequence[Peer], times: int) -> Measured:
    """Measures discovery of all the given peers, which share one room."""
    asker, frame = peers[0], discovery_frame("peer-00000")
    cpu_sec, started_at = server.process.cpu_sec(), time.perf_counter()
    for _ in range(times):
        asker.send(frame)
        answer = asker.receive()
    seconds = time.perf_counter() - started_at
    if json.loads(answer)["count"] != len(peers) - 1:
        raise RuntimeError("The answer isn't the whole room in one message.")
    return Measured(times / seconds, (server.process.cpu_sec() - cpu_sec) / times * 1e6)


@attrs.frozen
class Latency:
    """Latencies of the other peers' messages, in milliseconds, without and with a disturbance."""

    p50_before_ms: float
    p99_before_ms: float
    p50_ms: float
    p99_ms: float
    worst_ms: float

    @property
    def p99_ratio(self) -> float:
        """The 99th percentile with the disturbance over the one without, measured in turns."""
        return self.p99_ms / self.p99_before_ms


SLICES = 4
"""A run alternates this often between no disturbance and disturbance, so that other load on the machine
affects both."""


def _latency(undisturbed: Callable[[], list[float]], disturbed_by: Callable[[], list[float]]) -> Latency:
    undisturbed()
    before: list[float] = []
    disturbed: list[float] = []
    for _ in range(SLICES):
        before += undisturbed()
        disturbed += disturbed_by()
    return Latency(
        percentile(before, 0.5) * 1e3,
        percentile(before, 0.99) * 1e3,
        percentile(disturbed, 0.5) * 1e3,
        percentile(disturbed, 0.99) * 1e3,
        max(disturbed) * 1e3,
    )


def _pairs(peers: Sequence[Peer], start: int, count: int) -> list[tuple[Peer, bytes, Peer]]:
    return [
        (peers[n], client_frame(message(f"peer-{n:05}", f"peer-{partner(n):05}")), peers[partner(n)])
        for n in range(start, start + 2 * count, 2)
    ]


def disturb_by_discovery(size: Size) -> Latency:
    """Measures latency in a room of a thousand, one of whom asks for all others ten times a second."""
    count = min(1000, size.peers)
    with our_server() as server:
        peers = server.open_peers(count)
        pairs, answer_size = _pairs(peers, 2, 32), server_frame_size(message("peer-00002", "peer-00003"))
        frame = discovery_frame("peer-00000")

        def load(per_sec: float) -> list[float]:
            return latencies(
                Flights(pairs, answer_size, ignored=peers[:1]),
                per_sec=1000,
                seconds=size.seconds / SLICES,
                meanwhile=lambda: peers[0].send(frame),
                meanwhile_per_sec=per_sec,
            )

        measured = _latency(lambda: load(0), lambda: load(10))
        close_peers(peers)
    return measured


def flood_frame(target: str) -> bytes:
    """Returns a message of 64 KiB for one peer."""
    whole = {
        "type": "peer_message",
        "from_peer_id": "peer-00000",
        "to_peer_id": target,
        "payload": {"x": "x" * 65536},
    }
    return client_frame(json.dumps(whole))


def disturb_by_stalling(size: Size) -> Latency:
    """Measures latency while one peer is sent 64 KiB a hundred times a second, and reads it or doesn't.

    The sockets can buffer that for a fraction of a second. Then the outbox fills, and finally overflows.
    """
    with our_server() as server:
        peers = server.open_peers(ROUTING_PEERS + 4)
        flooder, reader, _, staller = peers[:4]
        staller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        pairs, answer_size = _pairs(peers, 4, 32), server_frame_size(message("peer-00004", "peer-00005"))

        def load(frame: bytes) -> list[float]:
            return latencies(
                Flights(pairs, answer_size, ignored=[flooder, reader]),
                per_sec=1000,
                seconds=2 * size.seconds / SLICES,
                meanwhile=lambda: flooder.send(frame),
                meanwhile_per_sec=100,
            )

        to_reader, to_staller = flood_frame("peer-00001"), flood_frame("peer-00003")
        measured = _latency(lambda: load(to_reader), lambda: load(to_staller))
        close_peers(peers)
    return measured


def report_disturbances(report: Report, size: Size) -> None:
    """Reports how much disturbances affect the other peers."""
    for what, disturb, times_before, at_most_ms in (
        ("discovery of 1,000 ten times a second", disturb_by_discovery, None, 10),
        ("a reader that stopped", disturb_by_stalling, 1.5, None),
    ):
        runs = [disturb(size) for _ in range(2 * size.runs)]
        report.add(f"{what}: the others' median before", median_of(runs, "p50_before_ms"), "ms")
        report.add(f"{what}: the others' median", median_of(runs, "p50_ms"), "ms")
        report.add(f"{what}: the others' p99 before", median_of(runs, "p99_before_ms"), "ms")
        report.add(f"{what}: the others' p99", median_of(runs, "p99_ms"), "ms", at_most=at_most_ms)
        report.add(
            f"{what}: the others' p99 over before", median_of(runs, "p99_ratio"), "x", at_most=times_before
        )
        report.add(f"{what}: the others' worst", median_of(runs, "worst_ms"), "ms")


# --- growth ---------------------------------------------------------------------------------


@contextmanager
def rooms_of(counts: Sequence[int]) -> Iterator[dict[int, tuple[OurServer, list[Peer]]]]:
    """Runs a server for each count, with one room of that many peers."""
    with ExitStack() as stack:
        rooms = {}
        for count in counts:
            server = stack.enter_context(our_server())
            peers = server.open_peers(count)
            stack.callback(close_peers, peers)
            rooms[count] = server, peers
        yield rooms


def _total_ms(results: Mapping[str, list[Measured]], operations: Callable[[int], int]) -> dict[int, float]:
    """Returns the server's processor time for all peers together, by the number of peers."""
    return {
        int(count): median_of(measured, "cpu_us") * operations(int(count)) / 1000
        for count, measured in results.items()
    }


def report_growth(report: Report, size: Size) -> None:
    """Reports how the server's processor time grows when the number of peers doubles."""
    counts = (size.peers // 4, size.peers // 2, size.peers)
    grown = {
        "joining": _total_ms(
            alternate(size.runs, {str(count): partial(join_ours, count) for count in counts}),
            lambda count: count,
        )
    }
    with rooms_of(counts) as rooms:

        def each(measure: Callable[[int, OurServer, list[Peer]], Measured]) -> dict[str, list[Measured]]:
            contestants = {str(count): partial(measure, count, *rooms[count]) for count in counts}
            alternate(1, contestants)  # warms up
            return alternate(3 * size.runs, contestants)

        grown["discovery of all"] = _total_ms(
            each(lambda _, server, peers: measure_discovery(server, peers, 10)), lambda _: 1
        )
        grown["a message of everybody"] = _total_ms(
            each(lambda count, server, peers: measure_routing(server.process, peers, 8 * count, 1)),
            lambda count: count,
        )
    for what, totals in grown.items():
        for count, total_ms in totals.items():
            report.add(f"{what}, {count:,} peers: server's CPU", total_ms, "ms")
        for half, count in itertools.pairwise(counts):
            ratio = totals[count] / totals[half]
            report.add(f"{what}, {count:,} peers over half of them", ratio, "x", at_most=2.2)


PARTS = {
    "routing": lambda report, size: (report_routing(report, size, 1), report_routing(report, size, 8)),
    "joining": report_joining,
    "disturbances": report_disturbances,
    "growth": report_growth,
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--quick", is_flag=True, help="One small run of everything: shows that it works, and no more.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Measure only this part.")
def main(as_json: bool, quick: bool, only: tuple[str, ...]) -> None:
    """Measure the signaling server beside bare relays on trio-websocket and asyncio's websockets."""
    raise_file_limit(MAX_SOCKETS)
    report = Report("Signaling")
    for part in only or PARTS:
        PARTS[part](report, QUICK if quick else Size())
    report.show(as_json=as_json)


if __name__ == "__main__":
    main()
