"""What a doctor meets in tests: interpreters, STUN servers and proxies that behave as they are told."""

from __future__ import annotations

import functools
import json
import re
import socket
import ssl
import sys
import threading
from contextlib import contextmanager, suppress
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import urlsplit

from aioice import stun
from aioice.turn import make_integrity_key

BINDING_SUCCESS = 0x0101
REALM = "lab"
TEST_ADDRESS = bytes((203, 0, 113, 7))  # RFC 5737


def make_python(path, *, versions, device=None, torch_cuda=None):
    """An interpreter that says of its packages what the test wants."""
    events = [{"event": "installed", "versions": versions, "python": "3.12.0"}]
    if device is not None:
        events.append({"event": "device", "device": device, "torch_cuda": torch_cuda})
    lines = "".join(json.dumps(event) + "\n" for event in events)
    path.write_text(f"#!{sys.executable}\nimport os, sys\nos.write(int(sys.argv[-1]), {lines.encode()!r})\n")
    path.chmod(0o755)
    return path


def stun_server(*, answers=True):
    """Hands out `stun:…` of a server that answers, or doesn't."""
    return udp_server("stun:", lambda request: binding_answer(request) if answers else None)


def turn_server(*, username, password):
    """Hands out the `HOST:PORT` of a server that says to one user that it relays (RFC 8656)."""
    return udp_server("", functools.partial(turn_answer, key=make_integrity_key(username, REALM, password)))


@contextmanager
def udp_server(prefix, answer):
    """Answers datagrams from a thread of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.1)
        over = threading.Event()

        def serve():
            while not over.is_set():
                with suppress(TimeoutError):
                    request, address = sock.recvfrom(2048)
                    if (answered := answer(request)) is not None:
                        sock.sendto(answered, address)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{prefix}127.0.0.1:{sock.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def turn_answer(request, *, key):
    """The answer of a server that relays for those who know the key."""
    asked = stun.parse_message(request)
    if asked.message_method == stun.Method.BINDING:
        return binding_answer(request)
    answer = stun.Message(
        message_method=asked.message_method,
        message_class=stun.Class.RESPONSE,
        transaction_id=asked.transaction_id,
    )
    if not asked.check_message_integrity(key):
        answer.message_class = stun.Class.ERROR
        answer.attributes.update({"ERROR-CODE": (401, "Unauthorized"), "NONCE": b"nonce", "REALM": REALM})
        return bytes(answer)
    address = {"XOR-MAPPED-ADDRESS": ("203.0.113.7", 4000), "XOR-RELAYED-ADDRESS": ("203.0.113.9", 5000)}
    answer.attributes.update({"LIFETIME": asked.attributes["LIFETIME"], **address})
    answer.add_message_integrity(key)
    return bytes(answer)


def binding_answer(request, *, host=TEST_ADDRESS, port=4000):
    """The answer of RFC 8489 with an XOR-MAPPED-ADDRESS."""
    cookie = request[4:8]
    masked_port = port ^ int.from_bytes(cookie[:2], "big")
    masked_host = bytes(a ^ b for a, b in zip(host, cookie, strict=True))
    value = b"\0\x01" + masked_port.to_bytes(2, "big") + masked_host
    attribute = (0x0020).to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    return BINDING_SUCCESS.to_bytes(2, "big") + len(attribute).to_bytes(2, "big") + request[4:20] + attribute


@contextmanager
def shifted_clock(http_url, shift_sec):
    """A proxy before a server's HTTP port by which its clock is wrong; hands out the address."""
    target = urlsplit(http_url)

    def shift(found):
        date = parsedate_to_datetime(found[1].decode()).timestamp() + shift_sec
        return b"date: " + formatdate(date, usegmt=True).encode()

    def carry(source, sink, change):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(change(data))
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(near):
        with near, socket.create_connection((target.hostname, target.port)) as far:
            back = threading.Thread(
                target=carry, args=(far, near, lambda data: re.sub(rb"(?i)date: ([^\r]+)", shift, data))
            )
            back.start()
            carry(near, far, bytes)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()

        def accept():
            while not over.is_set():
                with suppress(TimeoutError):
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@contextmanager
def tcp_server(serve):
    """Hands each connection to ``serve``; hands out the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()

        def accept():
            while not over.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(5)
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def tls_server(authority, name="127.0.0.1", on_connection=lambda: None, on_attempt=lambda: None):
    """A server with a certificate of a private authority, which tells of each handshake that succeeded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    def serve(connection):
        on_attempt()
        with context.wrap_socket(connection, server_side=True) as secure:
            on_connection()
            secure.recv(1024)

    return tcp_server(serve)
