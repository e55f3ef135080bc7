"""The proof of a room's secret, and attacks on it."""

from __future__ import annotations

import json

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.errors import ConnectionFailedError, PeerNotProvenError, RoomSecretMissingError, UsageError
from sleaprtc.protocol.codec import encode_transfer_frame
from sleaprtc.protocol.transfer import FileAbort, FileOffer, ProofNonce, ProofTag
from sleaprtc.rtc.engines.sdp import fingerprints
from sleaprtc.rtc.proof import Proof, Role, proof_tag
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.transfer.proven import prove
from tests.support.memory_channel import memory_channel_pair

KEY = bytes(range(16))
CLIENT, WORKER, MALLORY = ("sha-256 C1:1E",), ("sha-256 3A:12",), ("sha-256 BA:D0",)
NONCES = {Role.CLIENT: "c" * 32, Role.WORKER: "d" * 32}


def end(role, *, key=KEY, nonce=None, local=None, remote=None):
    own, others = (CLIENT, WORKER) if role is Role.CLIENT else (WORKER, CLIENT)
    return Proof(
        key,
        role=role,
        nonce=nonce or NONCES[role],
        local_fingerprints=own if local is None else local,
        remote_fingerprints=others if remote is None else remote,
    )


def say(frame):
    return encode_transfer_frame(frame)


def talk(client, worker):
    """Relays both ends' messages; each end's tag arrives after its nonce."""
    client_tag = client.message_received(say(worker.opening))
    worker_tag = worker.message_received(say(client.opening))
    client.message_received(say(worker_tag))
    worker.message_received(say(client_tag))


def test_two_ends_that_share_a_secret_prove_it():
    client, worker = end(Role.CLIENT), end(Role.WORKER)
    talk(client, worker)
    assert client.is_proven
    assert worker.is_proven


def test_a_tag_is_what_the_reference_says():
    """A test vector for other implementations, which is in the protocol reference, too."""
    tag = proof_tag(KEY, Role.CLIENT, NONCES, {Role.CLIENT: CLIENT, Role.WORKER: WORKER})
    assert tag == VECTOR


VECTOR = "4dc22973fe3687e935cdbcf274af66111e513d090cd733dbd77e34cef092e2fd"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": bytes(16)},
        {"local": MALLORY},
        {"remote": MALLORY},
        {"remote": (*CLIENT, *MALLORY)},
    ],
    ids=["other secret", "swapped own", "swapped other", "one fingerprint more"],
)
def test_whoever_knows_something_else_proves_nothing(changes):
    with pytest.raises(PeerNotProvenError, match=r"intercepts .* `sleap-rtc join INVITE` on both sides"):
        talk(end(Role.CLIENT), end(Role.WORKER, **changes))


def test_a_replayed_handshake_proves_nothing():
    """A worker's recorded frames are sent to a client with a fresh nonce."""
    worker = end(Role.WORKER)
    recorded = worker.opening, worker.message_received(say(end(Role.CLIENT).opening))
    client = end(Role.CLIENT, nonce="e" * 32)
    client.message_received(say(recorded[0]))
    with pytest.raises(PeerNotProvenError, match=r"intercepts .* `sleap-rtc join INVITE` on both sides"):
        client.message_received(say(recorded[1]))
    assert not client.is_proven


def test_a_reflected_handshake_proves_nothing():
    client = end(Role.CLIENT)
    with pytest.raises(PeerNotProvenError, match="own nonce"):
        client.message_received(say(client.opening))
    client = end(Role.CLIENT)
    tag = client.message_received(say(ProofNonce("f" * 32)))
    with pytest.raises(PeerNotProvenError):
        client.message_received(say(tag))


def test_a_failed_proof_stays_failed():
    client, worker = end(Role.CLIENT), end(Role.WORKER)
    tag = client.message_received(say(worker.opening)) and worker.message_received(say(client.opening))
    for message in (say(ProofTag("0" * 64)), say(tag)):
        with pytest.raises(PeerNotProvenError):
            client.message_received(message)
    assert not client.is_proven


@pytest.mark.parametrize(
    "message",
    [
        b"\x00" * 100,
        say(FileOffer("1", "a.slp", 1, "sha256:" + "0" * 64, "dataset")),
        say(FileAbort("", "UNKNOWN_MESSAGE_TYPE", "What?")),
        json.dumps({"type": "something_else"}),
    ],
    ids=["bytes", "offer", "abort", "unknown"],
)
def test_an_end_without_a_secret_is_told_to_use_the_invite(message):
    with pytest.raises(RoomSecretMissingError, match="--invite"):
        end(Role.CLIENT).message_received(message)


FRAMES = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20),
    st.sampled_from(["c" * 32, "d" * 32, "e" * 32, "D" * 32, ""]).map(lambda nonce: say(ProofNonce(nonce))),
    st.sampled_from(["0" * 64, "\ud800", ""]).map(lambda tag: say(ProofTag(tag))),
    st.sampled_from(["PEER_NOT_PROVEN", "X"]).map(lambda code: say(FileAbort("", code, "no"))),
)


@given(st.lists(FRAMES, max_size=4), st.sampled_from(Role))
def test_nobody_without_the_secret_is_ever_proven(messages, role):
    proof = end(role)
    for message in messages:
        try:
            answer = proof.message_received(message)
        except (PeerNotProvenError, RoomSecretMissingError):
            answer = None
        assert answer is None or isinstance(answer, ProofTag)
    assert not proof.is_proven


@given(st.binary(min_size=16, max_size=16))
def test_a_secret_s_written_form_is_read_back_and_never_shown(key):
    secret = RoomSecret(key)
    assert RoomSecret.parse(secret.text) == secret
    assert secret.text not in repr(secret)
    assert repr(key) not in repr(secret)


@pytest.mark.parametrize("text", ["", "short", "A" * 21 + "B", "A" * 23, "A" * 21 + "!"])
def test_a_cut_secret_is_refused_without_being_repeated(text):
    with pytest.raises(UsageError) as refused:
        RoomSecret.parse(text)
    assert not text or text not in str(refused.value)


def test_every_fingerprint_in_a_description_counts():
    found = ("sha-256 aa:bb", "SHA-256 AA:BB", " sha-1  c")
    sdp = "v=0\r\nm=x\r\n" + "".join(f"a=fingerprint:{value}\r\n" for value in found)
    assert fingerprints(sdp) == ("sha-1 C", "sha-256 AA:BB")


# --- over a channel -------------------------------------------------------------------------


async def outcome(channel, proof, results, timeout_sec=5):
    try:
        await prove(channel, proof, timeout_sec=timeout_sec)
    except (PeerNotProvenError, RoomSecretMissingError, ConnectionFailedError) as error:
        results.append(error)


async def test_both_sides_are_told_of_a_wrong_secret():
    a, b = memory_channel_pair()
    results = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, a, end(Role.CLIENT), results)
        nursery.start_soon(outcome, b, end(Role.WORKER, key=bytes(16)), results)
    assert [type(error) for error in results] == [PeerNotProvenError] * 2
    types = {json.loads(message)["type"] for message in (*a.sent, *b.sent)}
    assert types <= {"proof_nonce", "proof_tag", "file_abort"}


async def test_silence_ends_the_proof(autojump_clock):
    a, _ = memory_channel_pair()
    results = []
    await outcome(a, end(Role.CLIENT), results)
    assert "--invite" in str(results[0])
