"""STUN and TURN servers that fail in each of their ways, over real sockets."""

from __future__ import annotations

import socket

import pytest
import trustme

from sleaprtc.doctor import measure_ice
from sleaprtc.doctor.ice import IceTrouble, judge_ice
from sleaprtc.protocol.messages import IceServer

from ..rtc.coturn import coturn, needs_coturn
from .stand_ins import stun_server, tcp_server, tls_server, turn_server, udp_server


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


def closed_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def asked(url, username=None, credential=None):
    (answer,) = await measure_ice.ask_ice_servers((IceServer((url,), username, credential),))
    return answer


async def test_a_certificate_that_nobody_vouches_for(authority):
    with tls_server(authority) as port:
        answer = await asked(f"turns:127.0.0.1:{port}", "lab", "right")
    assert answer.trouble is IceTrouble.UNTRUSTED
    found = judge_ice([answer])
    assert "its certificate isn't valid (" in found.sentence
    assert "certificate" in found.remedy
    assert "password" not in found.remedy


async def test_a_certificate_for_another_name(authority, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with tls_server(authority, "turn.example.org") as port:
        answer = await asked(f"stuns:127.0.0.1:{port}")
    assert answer.trouble is IceTrouble.UNTRUSTED
    assert "IP address mismatch" in answer.problem


async def test_a_certificate_of_an_authority_that_the_environment_names(authority, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with tls_server(authority) as port:
        answer = await asked(f"stuns:127.0.0.1:{port}")
    assert answer.trouble is None
    assert answer.round_trip_ms > 0


async def test_no_tls_where_it_should_be():
    with tcp_server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        answer = await asked(f"turns:127.0.0.1:{port}", "lab", "right")
    assert answer.trouble is IceTrouble.TLS
    assert "doesn't speak TLS" in judge_ice([answer]).sentence


async def test_a_connection_that_is_cut_off_in_the_handshake():
    with tcp_server(lambda connection: connection.recv(1)) as port:
        answer = await asked(f"turns:127.0.0.1:{port}", "lab", "right")
    assert answer.trouble in (IceTrouble.TLS, IceTrouble.OTHER)
    assert "password" not in judge_ice([answer]).remedy


@pytest.mark.parametrize("url", ["stun:{}", "turn:{}?transport=tcp", "turns:{}"])
async def test_a_port_that_nobody_listens_on(url):
    kind = socket.SOCK_DGRAM if url == "stun:{}" else socket.SOCK_STREAM
    answer = await asked(url.format(f"127.0.0.1:{closed_port(kind)}"), "lab", "right")
    assert answer.trouble is IceTrouble.REFUSED
    assert answer.problem == "Connection refused"
    assert "Start it, or correct its port" in judge_ice([answer]).remedy


@pytest.mark.parametrize(
    "url", ["stun:name.invalid", "turn:name.invalid?transport=tcp", "turns:name.invalid"]
)
async def test_a_name_that_is_none(url):
    answer = await asked(url, "lab", "right")
    assert answer.trouble is IceTrouble.NAME
    assert "Correct its name" in judge_ice([answer]).remedy


async def test_a_server_that_is_silent(monkeypatch):
    monkeypatch.setattr(measure_ice, "STUN_TRIES_SEC", (0.05, 0.05))
    with stun_server(answers=False) as url:
        answer = await asked(url)
    assert answer.trouble is IceTrouble.SILENT
    assert "UDP" in judge_ice([answer]).remedy


async def test_credentials_that_are_wrong_or_missing():
    with turn_server(username="lab", password="right") as turn:
        assert (await asked(f"turn:{turn}", "lab", "right")).trouble is None
        assert (await asked(f"turn:{turn}", "lab", "wrong")).trouble is IceTrouble.CREDENTIALS
        assert (await asked(f"turn:{turn}")).trouble is IceTrouble.NO_CREDENTIALS


async def test_what_isn_t_an_address():
    answer = await asked("turn:")
    assert answer.trouble is IceTrouble.MALFORMED
    assert "Write it as" in judge_ice([answer]).remedy


@pytest.mark.parametrize(("code", "trouble"), [(403, "FORBIDDEN"), (486, "FULL"), (500, "OTHER")])
async def test_a_refusal_for_other_reasons(code, trouble):
    from aioice import stun

    from .stand_ins import binding_answer

    def refuse(request):
        asked = stun.parse_message(request)
        if asked.message_method == stun.Method.BINDING:
            return binding_answer(request)
        answer = stun.Message(asked.message_method, stun.Class.ERROR, asked.transaction_id)
        answer.attributes["ERROR-CODE"] = (code, "No.")
        return bytes(answer)

    with udp_server("turn:", refuse) as url:
        answer = await asked(url, "lab", "right")
    assert answer.trouble is IceTrouble[trouble]
    assert f"it refuses to relay: {code} No" in answer.problem
    assert "user name and password" not in judge_ice([answer]).remedy


@needs_coturn
async def test_a_real_turn_server(tmp_path, monkeypatch):
    with coturn(tmp_path) as turn:
        for url in (turn.turn, f"{turn.turn}?transport=tcp"):
            assert (await asked(url, "lab", "right")).relayed_address.startswith("127.0.0.1:")
            assert (await asked(url, "lab", "wrong")).trouble is IceTrouble.CREDENTIALS
        assert (await asked(turn.turns, "lab", "right")).trouble is IceTrouble.UNTRUSTED
        monkeypatch.setenv("SSL_CERT_FILE", str(turn.ca_file))
        assert (await asked(turn.turns, "lab", "right")).relayed_address.startswith("127.0.0.1:")
        assert (await asked(turn.turns, "lab", "wrong")).trouble is IceTrouble.CREDENTIALS
