"""A real TURN server (Debian's package ``coturn``), if it's installed on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import trustme

from sleaprtc.protocol.messages import IceServer
from sleaprtc.rtc import stun

from ..support.system_packages import needs

needs_coturn = needs("turnserver", "coturn")

USER, PASSWORD = "lab", "right"
READY_SEC = 60.0
STARTED = "Total General servers"
"""Part of the line that it logs once its threads run."""


@attrs.frozen
class Coturn:
    """A running server.

    Attributes:
        port: The port for UDP and TCP.
        tls_port: The port for TLS.
        ca_file: The certificate of the authority that signed its own.
    """

    port: int
    tls_port: int
    ca_file: Path

    def server(self, url: str, password: str = PASSWORD) -> IceServer:
        """One of its addresses, with credentials."""
        return IceServer((url,), USER, password)

    @property
    def turn(self) -> str:
        return f"turn:127.0.0.1:{self.port}"

    @property
    def turns(self) -> str:
        return f"turns:127.0.0.1:{self.tls_port}"


@contextmanager
def coturn(folder: Path) -> Iterator[Coturn]:
    """Runs a server on 127.0.0.1, with a certificate of a private authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "chain.pem", append=number > 0)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    ports = _free_ports(2)
    (folder / "turn.conf").write_text(
        f"listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nlistening-port={ports[0]}\ntls-listening-port={ports[1]}\n"
        f"realm=lab\nlt-cred-mech\nuser={USER}:{PASSWORD}\nfingerprint\nallow-loopback-peers\nno-multicast-peers\n"
        f"no-cli\nlog-file=stdout\nsimple-log\ncert={folder}/chain.pem\npkey={folder}/key.pem\n"
        f"pidfile={folder}/turn.pid\nuserdb={folder}/turndb\n"
    )
    log = (folder / "turn.log").open("w")
    process = subprocess.Popen(["turnserver", "-c", str(folder / "turn.conf")], stdout=log, stderr=log)
    try:
        _wait_until_ready(ports[0], process, folder / "turn.log")
        yield Coturn(*ports, folder / "ca.pem")
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until it can serve: it listens before that, but never answers clients that come too early."""
    deadline = time.monotonic() + READY_SEC
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        if STARTED in log.read_text() and _answers(port):
            return
    raise RuntimeError(f"coturn doesn't answer: {log.read_text()[-2000:]}")


def _answers(port: int) -> bool:
    transaction_id = os.urandom(stun.TRANSACTION_ID_BYTES)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.settimeout(0.5)
        sock.connect(("127.0.0.1", port))
        sock.send(stun.binding_request(transaction_id))
        return stun.answers(sock.recv(2048), transaction_id)
    return False
