"""A peer that refuses private ICE servers sends nothing to any address that isn't public."""

from __future__ import annotations

import ipaddress
import socket

import pytest
import trio

from sleaprtc.access.place import ConnectionOptions
from sleaprtc.protocol.messages import IceServer
from sleaprtc.rtc.no_path import Attempt, explain
from sleaprtc.rtc.public_ice import MAX_URLS, is_public, public_only

NAMES = {
    "public.example": ["8.8.8.8", "2001:4860:4860::8888"],
    "private.example": ["10.1.2.3"],
    "both.example": ["8.8.8.8", "192.168.0.1"],
    "loopback.example": ["::1"],
}


class Resolver(trio.abc.HostnameResolver):
    """Resolves names as the test says; each name may be resolved only once."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002 - as Trio has it
        await trio.lowlevel.checkpoint()
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        if name == "broken.example":
            raise RuntimeError("a bug")
        if name not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, type, 17, "", (each, port))
            for each in NAMES[name]
        ]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@pytest.fixture
async def resolver():
    made = Resolver()
    trio.socket.set_custom_hostname_resolver(made)
    return made


PRIVATE = """127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1
255.255.255.255 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 2002:0a00:0001::
64:ff9b::7f00:1 64:ff9b::a00:1"""


@pytest.mark.parametrize("address", PRIVATE.split())
async def test_addresses_that_aren_t_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
async def test_addresses_that_are(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("stun:8.8.8.8:3478", "stun:8.8.8.8:3478"),
        ("turn:8.8.8.8", "turn:8.8.8.8"),
        ("turn:[2001:4860:4860::8888]:99?transport=tcp", "turn:[2001:4860:4860::8888]:99?transport=tcp"),
        ("turn:public.example:99?transport=udp", "turn:8.8.8.8:99?transport=udp"),
        ("turns:public.example:443", "turns:public.example:443"),
    ],
)
async def test_public_ones_are_asked_at_the_address_that_was_looked_at(resolver, url, asked):
    (kept,), refused = await public_only((IceServer((url,), "user", "password"),))
    assert kept == IceServer((asked,), "user", "password")
    assert refused == ()


@pytest.mark.parametrize(
    "url",
    [
        "stun:127.0.0.1:22",
        "stun:169.254.169.254:80",
        "turn:192.168.0.1:445?transport=tcp",
        "stun:[::1]:22",
        "stun:[::ffff:127.0.0.1]:22",
        "stun:[fe80::1%25eth0]",
        "turn:private.example:5432?transport=tcp",
        "turns:both.example",
        "stun:loopback.example",
        "stun:unknown.example",
        pytest.param("stun:broken.example", marks=pytest.mark.logs_error("RuntimeError: a bug")),
        "stun:",
        "stun:a:b:c",
        "turn:user@8.8.8.8",
        "http://8.8.8.8",
        "stun://8.8.8.8",
        "stun:8.8.8.8:99999",
    ],
)
async def test_others_are_not(resolver, url):
    assert await public_only(
        (
            IceServer(
                (url, "stun:8.8.8.8:1"),
            ),
        )
    ) == (
        (IceServer(("stun:8.8.8.8:1",)),),
        (url,),
    )
    assert await public_only((IceServer((url,)),)) == ((), (url,))


@pytest.mark.parametrize("url", ["stun:127.1", "stun:2130706433", "stun:0x7f000001", "stun:0177.0.0.1"])
async def test_other_ways_to_write_the_same_address(url):
    """With the system's own resolver, which reads them as 127.0.0.1."""
    assert await public_only((IceServer((url,)),)) == ((), (url,))


async def test_a_flood_of_addresses_is_cut(resolver):
    urls = tuple(f"stun:8.8.8.8:{number}" for number in range(1, 100))
    ((kept,), refused) = await public_only((IceServer(urls),))
    assert kept.urls == urls[:MAX_URLS]
    assert refused == urls[MAX_URLS:]


async def test_what_the_person_names_is_asked_wherever_it_is():
    own, handed_out = IceServer(("stun:127.0.0.1:1",)), IceServer(("stun:10.0.0.1:2",))
    trusting = ConnectionOptions(ice_servers=(own,))
    assert (await trusting.ice_settings((handed_out,))).servers == (own, handed_out)
    wary = ConnectionOptions(ice_servers=(own,), private_ice_servers=False)
    settings = await wary.ice_settings((handed_out,))
    assert (settings.servers, settings.refused_urls) == ((own,), ("stun:10.0.0.1:2",))


async def test_a_connection_that_fails_without_them_says_so():
    host = "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host"
    finding, remedy = explain(Attempt("gpu", (), False, (host,), (host,), ("turn:10.0.0.1:2",)))
    assert "turn:10.0.0.1:2 isn't asked" in finding
    assert "--private-ice-servers" in remedy
