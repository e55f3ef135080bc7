"""Whatever arrives, the codec returns a message or raises the protocol's own error."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sleaprtc.errors import ProtocolError
from sleaprtc.protocol import codec
from sleaprtc.protocol.codec import encode_message
from sleaprtc.protocol.limits import MAX_UNIX_TIME
from sleaprtc.protocol.messages import (
    Answer,
    Candidate,
    DiscoverPeers,
    IceServer,
    Metadata,
    MetadataUpdated,
    Offer,
    PeerInfo,
    PeerList,
    PeerMessage,
    Register,
    RegisteredAuth,
    UpdateMetadata,
)

DECODERS: tuple[Callable[[Any], object], ...] = (
    codec.decode_json_object,
    codec.decode_client_message,
    codec.decode_server_message,
    codec.decode_transfer_frame,
)

TYPES = [
    *codec._CLIENT_MESSAGES,
    *codec._SERVER_MESSAGES,
    *codec._JOB_MESSAGES,
    *codec._TRANSFER_FRAMES,
]
FIELDS = sorted(
    {
        field.name
        for classes in (
            codec._CLIENT_MESSAGES,
            codec._SERVER_MESSAGES,
            codec._JOB_MESSAGES,
            codec._TRANSFER_FRAMES,
        )
        for cls in classes.values()
        for field in cls.__attrs_attrs__
    }
    | {"sdpMid", "sdpMLineIndex", "tags", "properties", "urls", "unknown"}
)

wire_integers = st.integers(1 - codec.MAX_INTEGER, codec.MAX_INTEGER - 1)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
objects = st.fixed_dictionaries(
    {},
    optional={"type": st.sampled_from(TYPES) | values, "app_message_type": st.sampled_from(TYPES) | values},
).flatmap(
    lambda tag: st.dictionaries(st.sampled_from(FIELDS), values, max_size=10).map(lambda rest: rest | tag)
)


def only_protocol_errors(decode: Callable[[Any], object], data: Any) -> None:
    with suppress(ProtocolError):
        decode(data)


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@given(data=st.binary(max_size=200))
@example(data=b"")
@example(data=b"\xff")
@example(data=b"\xef\xbb\xbf{}")
@example(data=b"[" * 100_000)
@example(data=b'{"a":' * 100_000)
@example(data=b"1" * 5000)
@example(data=b'{"a": 1e999}')
@example(data=b'{"type": "offer", "type": "offer"}')
@example(data=b'{"type": "\\ud800"}')
def test_any_bytes(decode: Callable[[Any], object], data: bytes) -> None:
    only_protocol_errors(decode, data)


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@given(message=objects)
def test_any_object_with_the_words_of_the_protocol(
    decode: Callable[[Any], object], message: dict[str, Any]
) -> None:
    only_protocol_errors(decode, json.dumps(message))


@given(message=objects)
def test_any_payload(message: dict[str, Any]) -> None:
    only_protocol_errors(codec.decode_job_message, message)


# --- what we write can be read --------------------------------------------------------------

texts = st.text(max_size=8)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
room_words = st.text("abz09-", min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)
metadata = st.builds(
    Metadata,
    tags=st.none() | st.lists(texts, max_size=3).map(tuple),
    properties=st.none() | json_objects,
)
times = st.floats(0, MAX_UNIX_TIME)
ice_urls = st.sampled_from(
    ["stun:stun.example", "turns:[2001:db8::1]:443?transport=tcp", "turn:10.0.0.1:65535"]
)
printable = names.filter(str.isprintable)
ice_servers = st.builds(
    IceServer,
    urls=st.lists(ice_urls, min_size=1, max_size=2).map(tuple),
    username=st.none() | printable,
    credential=st.none() | printable,
)
client_messages = st.one_of(
    st.builds(Register, texts, texts, texts, texts, texts, metadata, st.none() | texts),
    st.builds(DiscoverPeers, texts, json_objects),
    st.builds(UpdateMetadata, texts, metadata),
    st.builds(PeerMessage, texts, texts, json_objects),
    st.builds(Offer, texts, texts, texts),
    st.builds(Answer, texts, texts, texts),
    st.builds(Candidate, texts, texts, texts, texts, st.none() | wire_integers),
)
peers = st.lists(st.builds(PeerInfo, names, names, metadata, times), max_size=3).map(tuple)
server_messages = st.one_of(
    st.builds(
        RegisteredAuth,
        room_words,
        room_words,
        names,
        st.none() | times,
        st.lists(ice_servers, max_size=2).map(tuple),
        st.none() | room_words,
    ),
    st.builds(MetadataUpdated, texts, metadata),
    peers.map(lambda infos: PeerList("me", len(infos), infos)),
)


@given(message=client_messages)
def test_a_peer_s_message_comes_back_as_it_was(message: Any) -> None:
    assert codec.decode_client_message(encode_message(message)) == message


@given(message=server_messages)
def test_a_server_s_message_comes_back_as_it_was(message: Any) -> None:
    assert codec.decode_server_message(encode_message(message)) == message


@given(infos=peers, to_peer_id=texts)
def test_a_list_of_encoded_peers_is_the_list_of_peers(infos: tuple[PeerInfo, ...], to_peer_id: str) -> None:
    text = codec.encode_peer_list(to_peer_id, [codec.encode_peer_info(info) for info in infos])
    assert codec.decode_server_message(text) == PeerList(to_peer_id, len(infos), infos)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "not valid JSON"),
        ('{"type": "offer", "sender": 5, "target": "b", "sdp": ""}', "sender must be a string"),
        ('{"type": "offer", "sender": "a", "target": "b"}', "sdp is missing"),
        (
            '{"type": "update_metadata", "peer_id": "a", "metadata": {"tags": [1]}}',
            "metadata.tags",
        ),
    ],
)
def test_an_error_names_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        codec.decode_client_message(text)


def outcome(decode: Callable[[], object]) -> object:
    """What was decoded, or the error as it's told."""
    try:
        return decode()
    except ProtocolError as error:
        return type(error), str(error)


@given(
    message=st.fixed_dictionaries(
        {"type": st.just("peer_message")},
        optional=dict.fromkeys(
            ("from_peer_id", "to_peer_id", "payload", "unknown"), values | texts | json_objects
        ),
    )
)
def test_the_short_way_of_peer_messages_ends_where_the_long_one_does(message: dict[str, Any]) -> None:
    text = json.dumps(message)
    assert outcome(lambda: codec.decode_client_message(text)) == outcome(
        lambda: codec._decode_tagged(codec.decode_json_object(text), "type", codec._CLIENT_MESSAGES)
    )
