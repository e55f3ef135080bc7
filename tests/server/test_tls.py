"""TLS on both ports, and how clients check certificates."""

from __future__ import annotations

import json
import os
import ssl
from urllib.parse import urlsplit

import pytest
import trio
import trustme

from sleaprtc.errors import SignalingUnreachableError, UntrustedServerError, UsageError
from sleaprtc.protocol.messages import Metadata, PeerMessage
from sleaprtc.server.settings import ServerSettings
from sleaprtc.server.tls import server_context
from sleaprtc.signaling.http import Endpoints, open_http
from sleaprtc.signaling.link import Membership, open_link
from sleaprtc.signaling.websocket import open_websocket

from ..support import prepared

BIG = "x" * 200_000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, a certificate for 127.0.0.1 and one for elsewhere."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    for name, host in (("here", "127.0.0.1"), ("elsewhere", "example.org")):
        issued = authority.issue_cert(host)
        issued.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return folder


@pytest.fixture
async def tls_server(start_server, certificates):
    pem = certificates / "here.pem"
    return await start_server(tls_cert=pem, tls_key=pem)


async def test_peers_meet_and_talk_over_tls(tls_server, certificates):
    assert tls_server.ws_url.startswith("wss://")
    assert tls_server.http_url.startswith("https://")
    endpoints = Endpoints(tls_server.ws_url, tls_server.http_url, str(certificates / "ca.pem"))
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        account = await http.sign_in()
        room = await http.create_room(account)

    def member(name):
        return open_link(Membership(endpoints, room, name, "peer", Metadata()), account)

    async with member("a") as a, member("b") as b:
        for number in range(3):
            await a.send(PeerMessage("a", "b", {"number": number, "padding": BIG}))
        with trio.fail_after(60):
            assert [(await b.receive()).payload["number"] for _ in range(3)] == [0, 1, 2]
        assert [peer.peer_id for peer in await a.discover({})] == ["b"]


async def connect(url, ca_file):
    if url.startswith("http"):
        async with open_http(url, ca_file) as http:
            await http.sign_in()
    else:
        async with open_websocket(url, connect_timeout_sec=2, ca_file=ca_file):
            pass


@pytest.mark.parametrize("port", ["ws_url", "http_url"])
async def test_a_certificate_of_an_unknown_authority_is_not_trusted(tls_server, certificates, port):
    url = getattr(tls_server, port)
    for ca_file in (None, str(certificates / "other-ca.pem")):
        with pytest.raises(UntrustedServerError, match=r"isn't trusted.*--tls-ca") as refused:
            await connect(url, ca_file)
        assert refused.value.exit_status == 5


@pytest.mark.parametrize("port", ["ws_url", "http_url"])
async def test_a_certificate_for_another_name_is_not_trusted(start_server, certificates, port):
    pem = certificates / "elsewhere.pem"
    server = await start_server(tls_cert=pem, tls_key=pem)
    with pytest.raises(UntrustedServerError, match="isn't trusted"):
        await connect(getattr(server, port), str(certificates / "ca.pem"))


@pytest.mark.parametrize("port", ["ws_url", "http_url"])
async def test_tls_where_there_is_none_says_so(server, port):
    url = getattr(server, port).replace("ws:", "wss:").replace("http:", "https:")
    with pytest.raises(SignalingUnreachableError, match="TLS"):
        await connect(url, None)


@pytest.mark.parametrize("port", ["ws_url", "http_url"])
async def test_no_tls_where_there_is_some_is_an_error(tls_server, port):
    url = getattr(tls_server, port).replace("wss:", "ws:").replace("https:", "http:")
    with pytest.raises(SignalingUnreachableError):
        await connect(url, None)


@pytest.mark.parametrize("port", ["ws_url", "http_url"])
async def test_a_half_handshake_holds_nobody_up(tls_server, certificates, port):
    url = getattr(tls_server, port)
    host, number = url.split("//")[1].rstrip("/").split(":")
    async with await trio.open_tcp_stream(host, int(number)) as stream:
        await stream.send_all(b"\x16\x03\x01")
        with trio.fail_after(60):
            await connect(url, str(certificates / "ca.pem"))


async def test_http2_is_not_offered(tls_server, certificates):
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    address = urlsplit(tls_server.http_url)
    stream = await trio.open_ssl_over_tcp_stream(address.hostname, address.port, ssl_context=context)
    with trio.fail_after(60):
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "http/1.1"
        await stream.transport_stream.aclose()


def test_what_is_no_certificate_is_refused(certificates, tmp_path):
    (tmp_path / "empty.pem").write_text("")
    pem = certificates / "here.pem"
    for pair in ((pem, None), (None, pem), (tmp_path / "empty.pem", pem), (tmp_path / "none.pem", pem)):
        with pytest.raises(UsageError):
            server_context(*pair)
    assert server_context(None, None) is None
    assert isinstance(server_context(pem, pem), ssl.SSLContext)
    assert ServerSettings(state_dir=tmp_path).tls_cert is None


def test_commands_over_tls(certificates, tmp_path):
    """The programs: an invite for TLS works, and an unknown authority gives one clear error message."""
    from ..conftest import running_server

    pem = str(certificates / "here.pem")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}

    def client(*arguments, **environment):
        return prepared.run(
            "sleaprtc.client",
            *arguments,
            env={**kept, "SLEAP_RTC_STATE_DIR": str(tmp_path / "client"), **environment},
        )

    with running_server(tmp_path / "state", "--tls-cert", pem, "--tls-key", pem) as server:
        addresses = ("--signaling-ws", server.ws_url, "--signaling-http", server.http_url)
        authority = {"SLEAP_RTC_TLS_CA": str(certificates / "ca.pem")}
        made = json.loads(client("room", "create", "--json", *addresses, **authority).stdout)
        assert made["invite"].startswith("sleap-rtcs://127.0.0.1:")
        invite = {"SLEAP_RTC_INVITE": made["invite"]}
        assert client("workers", **invite, **authority).returncode == 0
        ended = client("workers", **invite)
        assert ended.returncode == 5
        assert ended.stderr.startswith("Error: The signaling server at https://")
        assert ended.stderr.count("\n") == 1
        log = server.log.read_text()
    assert "Traceback" not in log
