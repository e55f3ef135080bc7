"""STUN messages against the test vectors of RFC 5769, section 2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.rtc.stun import answers, binding_request, mapped_address

TRANSACTION_ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
IPV4_RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
IPV6_RESPONSE = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)


def test_a_request_is_a_header_alone():
    assert binding_request(TRANSACTION_ID) == bytes.fromhex("000100002112a442") + TRANSACTION_ID


@pytest.mark.parametrize(
    ("response", "address"),
    [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")],
)
def test_the_rfc_s_answers(response, address):
    assert answers(response, TRANSACTION_ID)
    assert mapped_address(response) == address


def test_an_error_is_an_answer_too_and_others_are_none():
    error = bytes.fromhex("011100002112a442") + TRANSACTION_ID
    assert answers(error, TRANSACTION_ID)
    assert mapped_address(error) is None
    assert not answers(IPV4_RESPONSE, bytes(12))
    assert not answers(IPV4_RESPONSE[:-1], TRANSACTION_ID)
    assert not answers(binding_request(TRANSACTION_ID), TRANSACTION_ID)


@given(st.binary(max_size=80))
def test_no_datagram_raises(datagram):
    answers(datagram, TRANSACTION_ID)
    mapped_address(datagram)
    mapped_address(IPV4_RESPONSE[:20] + datagram)
