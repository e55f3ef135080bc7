"""A transfer over TLS and TCP, for comparison: zeros from memory, over a Trio stream.

``python -m benchmarks.transfer_tls send|receive OPTIONS``; signaling as in :mod:`benchmarks.transfer_ours`.
"""

from __future__ import annotations

import datetime
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

READ_BYTES = 256 * 1024


def say(kind: str, value: Any) -> None:
    """Sends a message to the parent."""
    print(json.dumps([kind, value]), flush=True)


def server_context() -> ssl.SSLContext:
    """Returns a context with a certificate made for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.pem"
        pem = serialization.Encoding.PEM
        path.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(pem)
        )
        context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    """Returns a context that accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def send(options: dict[str, Any]) -> None:
    """Sends zeros, and waits for the other side's confirmation."""
    port = int(json.loads(await trio.to_thread.run_sync(sys.stdin.readline)))
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), client_context())
    await stream.do_handshake()
    say("ready", "tls")
    started, cpu = time.perf_counter(), time.process_time()
    data = bytes(options["message_bytes"])
    for _ in range(options["size_bytes"] // len(data)):
        await stream.send_all(data)
    await stream.receive_some(1)
    say("done", {"sec": time.perf_counter() - started, "cpu_sec": time.process_time() - cpu})


async def receive(options: dict[str, Any]) -> None:
    """Reads until all bytes have arrived."""
    context = server_context()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    say("signal", str(listener.socket.getsockname()[1]))
    stream = trio.SSLStream(await listener.accept(), context, server_side=True)
    await stream.do_handshake()
    say("ready", "tls")
    cpu = time.process_time()
    missing_bytes = options["size_bytes"] // options["message_bytes"] * options["message_bytes"]
    while missing_bytes:
        missing_bytes -= len(await stream.receive_some(READ_BYTES))
    await stream.send_all(b"!")
    say("done", {"cpu_sec": time.process_time() - cpu})


async def main(role: str, options: dict[str, Any]) -> None:
    """Runs one side."""
    await (send if role == "send" else receive)(options)
    await trio.to_thread.run_sync(sys.stdin.readline)  # "quit"


if __name__ == "__main__":
    trio.run(main, sys.argv[1], json.loads(sys.argv[2]))
