"""The proof that a request comes from a member of the room."""

import attrs
import pytest

from sleaprtc.jobs.request_proof import is_proven, request_proof
from sleaprtc.protocol.codec import decode_job_message, encode_job_message
from sleaprtc.protocol.jobs import ConnectionCheck, JobRequest

KEY = bytes(range(16))
REQUEST = JobRequest("job-uuid-789", "training")
NAMES = {"client_id": "client-1", "worker_id": "gpu-1"}
PROVEN = attrs.evolve(REQUEST, proof=request_proof(KEY, REQUEST, **NAMES))


def test_the_references_example():
    assert PROVEN.proof == "dbca4616334f580093cff0e2cecd973978858fb2a2256d4a1320b96c0c398596"


def test_it_survives_the_wire_and_no_log_shows_it():
    assert decode_job_message(encode_job_message(PROVEN)) == PROVEN
    assert PROVEN.proof not in repr(PROVEN)
    assert "proof" not in encode_job_message(REQUEST)


@pytest.mark.parametrize(
    ("key", "request_", "names"),
    [
        (bytes(16), PROVEN, NAMES),
        (KEY, attrs.evolve(PROVEN, job_id="another"), NAMES),
        (KEY, PROVEN, {**NAMES, "client_id": "thief"}),
        (KEY, PROVEN, {**NAMES, "worker_id": "gpu-2"}),
        (KEY, ConnectionCheck(PROVEN.job_id, PROVEN.proof), NAMES),
        (KEY, REQUEST, NAMES),
        (KEY, attrs.evolve(PROVEN, proof=""), NAMES),
        (KEY, attrs.evolve(PROVEN, proof="é"), NAMES),
    ],
)
def test_it_holds_for_one_job_of_one_client_on_one_worker(key, request_, names):
    assert is_proven(KEY, PROVEN, **NAMES)
    assert not is_proven(key, request_, **names)


@pytest.mark.parametrize("names", [("a\nb", "c", "d"), ("a", "b\nc", "d"), ("a", "b", "c\nd")])
def test_what_is_split_otherwise_is_no_proof(names):
    job_id, client_id, worker_id = names
    request = JobRequest(job_id, "training")
    assert request_proof(KEY, request, client_id=client_id, worker_id=worker_id) is None
    forged = attrs.evolve(request, proof=request_proof(KEY, JobRequest("a", "training"), **NAMES))
    assert not is_proven(KEY, forged, client_id=client_id, worker_id=worker_id)
