"""Non-public parts of Hypercorn that the HTTP port relies on. A failure names what a new release changed."""

from __future__ import annotations

import inspect
import re

import hypercorn.trio.run
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from sleaprtc.server.http_port import HttpStream, SecureHttpStream


def test_one_connection_is_served_by_one_object() -> None:
    assert list(inspect.signature(TCPServer).parameters) == ["app", "config", "context", "state", "stream"]
    assert inspect.iscoroutinefunction(TCPServer.run)
    assert list(inspect.signature(ASGIWrapper).parameters) == ["app"]
    assert inspect.iscoroutinefunction(WorkerContext(None).terminated.set)
    # As Hypercorn itself does it.
    assert "TCPServer" in inspect.getsource(hypercorn.trio.run.worker_serve)


def test_nothing_is_asked_of_a_stream_but_what_ours_has() -> None:
    source = inspect.getsource(TCPServer)
    asked = set(re.findall(r"self\.stream\.(\w+)", source))
    assert asked == {
        "aclose",
        "do_handshake",
        "receive_some",
        "selected_alpn_protocol",
        "send_all",
        "send_eof",
        "socket",
        "transport_stream",
    }
    assert all(hasattr(SecureHttpStream, name) for name in asked)
    # A stream under TLS is told by this one; without it there's an AttributeError.
    assert not hasattr(HttpStream, "do_handshake")


def test_nothing_else_of_a_connection_has_a_clock() -> None:
    names = set(re.findall(r"config\.(\w*timeout)", inspect.getsource(TCPServer)))
    assert names == {"ssl_handshake_timeout", "read_timeout", "keep_alive_timeout"}


def test_there_are_no_ways_to_http2_but_those_left_out() -> None:
    assert inspect.iscoroutinefunction(H11Protocol._check_protocol)
    raised = re.findall(r"raise (H2\w+)", inspect.getsource(H11Protocol))
    assert raised == re.findall(r"raise (H2\w+)", inspect.getsource(H11Protocol._check_protocol)) != []
    assert "self.protocol = ProtocolWrapper(" in inspect.getsource(TCPServer)
