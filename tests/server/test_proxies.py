"""Which proxies the server trusts to name a client's address."""

from __future__ import annotations

from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.errors import UsageError
from sleaprtc.server.proxies import client_address, parse_proxy

OPENING = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Forwarded-For: ADDRESS\r\n\r\n"
)
PING = b"\x89\x80\0\0\0\0"
PROXIES = (parse_proxy("10.0.0.0/8"), parse_proxy("::1"))


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("1.2.3.4", ["5.6.7.8"], "1.2.3.4"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["5.6.7.8"], "5.6.7.8"),
        ("::1", ["6.6.6.6, 5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["6.6.6.6", "5.6.7.8, 10.0.0.2"], "5.6.7.8"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["5.6.7.8, unknown"], "10.0.0.1"),
        ("", ["5.6.7.8"], ""),
    ],
)
def test_only_proxies_are_believed(peer, headers, expected):
    assert client_address(peer, headers, PROXIES) == expected


@given(st.lists(st.text(max_size=30), max_size=3))
def test_a_stranger_s_header_changes_nothing(headers):
    assert client_address("1.2.3.4", headers, PROXIES) == "1.2.3.4"


def test_what_is_no_address_is_refused():
    with pytest.raises(UsageError, match="isn't the address"):
        parse_proxy("proxy.example.org")


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_sign_ins_are_limited_by_the_address_that_a_proxy_names(start_server, is_trusted):
    proxies = (parse_proxy("127.0.0.1"),) if is_trusted else ()
    server = await start_server(trusted_proxies=proxies, sign_ins_per_sec=0.001, sign_in_burst=1)
    statuses = []
    async with httpx.AsyncClient(base_url=server.http_url) as http:
        for client in ("192.0.2.1", "192.0.2.2", "192.0.2.2"):
            answer = await http.post("/anonymous-signin", headers={"X-Forwarded-For": client})
            statuses.append(answer.status_code)
    assert statuses == ([200, 200, 429] if is_trusted else [200, 429, 429])


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_connections_are_counted_by_the_address_that_a_proxy_names(start_server, is_trusted):
    proxies = (parse_proxy("127.0.0.1"),) if is_trusted else ()
    server = await start_server(trusted_proxies=proxies, max_connections_per_address=1)
    port = urlsplit(server.ws_url).port

    async def upgraded(stack, address):
        stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
        await stream.send_all(OPENING.replace(b"ADDRESS", address))
        assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 101 ")
        return stream

    async def answers(stream):
        """Whether a connection is still served. Each address may have one; an older idle one is closed."""
        try:
            await stream.send_all(PING)
            return await stream.receive_some(4096) == b"\x8a\x00"
        except trio.BrokenResourceError:
            return False

    async with AsyncExitStack() as stack:
        with trio.fail_after(60):
            first = await upgraded(stack, b"192.0.2.1")
            other = await upgraded(stack, b"192.0.2.2")
            assert await answers(first) == is_trusted
            second = await upgraded(stack, b"192.0.2.1")
            assert not await answers(first)
            assert await answers(other) == is_trusted
            assert await answers(second)
