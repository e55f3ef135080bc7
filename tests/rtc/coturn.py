"""A real TURN server (Debian's package ``coturn``), where this machine has one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trustme

from sleaprtc.protocol.messages import IceServer

needs_coturn = pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn isn't installed")

USER, PASSWORD = "lab", "right"
READY_SEC = 20.0


@attrs.frozen
class Coturn:
    """A running server.

    Attributes:
        port: For UDP and TCP.
        tls_port: For TLS.
        ca_file: Who signed its certificate.
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
        for port in ports:
            _wait_for(port, process)
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


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SEC
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"coturn doesn't listen on port {port}; it ended with {process.poll()}.")
