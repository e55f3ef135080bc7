"""The workflow's messages in order, sent with another WebSocket library, with every field of the answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .conftest import Api, RawPeer

WORKER_A = {
    "tags": ["sleap-rtc", "training-worker", "inference-worker"],
    "properties": {
        "gpu_memory_mb": 16384,
        "gpu_model": "NVIDIA RTX 4090",
        "sleap_version": "1.3.0",
        "cuda_version": "11.8",
        "hostname": "gpu-server-01.lab.edu",
        "status": "available",
        "max_concurrent_jobs": 1,
        "supported_models": ["base", "centroid", "topdown"],
    },
}
WORKER_B = {
    "tags": ["sleap-rtc", "training-worker"],
    "properties": {
        "gpu_memory_mb": 24576,
        "gpu_model": "NVIDIA RTX 6000 Ada",
        "sleap_version": "1.3.0",
        "cuda_version": "12.0",
        "hostname": "gpu-server-02.lab.edu",
        "status": "available",
        "max_concurrent_jobs": 2,
        "supported_models": ["base", "centroid"],
    },
}
CLIENT = {
    "tags": ["sleap-rtc", "training-client"],
    "properties": {"sleap_version": "1.3.0", "platform": "linux", "user_id": "researcher_42"},
}
CLIENT_ID, A_ID, B_ID = "Client-Researcher-42", "Worker-A-GPU1", "Worker-B-GPU2"


def join(
    api: Api, connect: Callable[..., RawPeer], ws_url: str, room: dict[str, Any], peer_id: str, **rest: Any
) -> RawPeer:
    """Signs in, connects and registers, as the workflow's phases 2 and 3 do."""
    peer = connect(ws_url, room, api.sign_in()["id_token"])
    answer = peer.ask(peer.registration(peer_id, **rest))
    resume_token = answer.pop("resume_token")
    assert answer == {
        "type": "registered_auth",
        "room_id": room["room_id"],
        "token": room["token"],
        "peer_id": peer_id,
        "expires_at": room["expires_at"],
        "ice_servers": [],
    }
    assert len(resume_token) >= 16
    return peer


def passes(sender: RawPeer, receiver: RawPeer, message: dict[str, Any]) -> None:
    sender.send(message)
    assert receiver.receive() == message


def job(sender: str, receiver: str, **payload: Any) -> dict[str, Any]:
    return {
        "type": "peer_message",
        "from_peer_id": sender,
        "to_peer_id": receiver,
        "payload": {"job_id": "job-uuid-789", **payload},
    }


def test_the_workflow(server_process: Any, api: Api, connect_peer: Callable[..., RawPeer]) -> None:
    # Phase 1: an administrator makes the room.
    admin = api.sign_in()
    assert set(admin) == {"id_token", "username"}
    asked_at = time.time()
    room = api.create_room(admin["id_token"])
    assert set(room) == {"room_id", "token", "expires_at"}
    assert len(room["room_id"]) == 8
    assert len(room["token"]) >= 6
    assert asked_at + 7200 <= room["expires_at"] <= time.time() + 7200

    # Phases 2 and 3: workers and client register.
    ws_url = server_process.ws_url
    worker_a = join(api, connect_peer, ws_url, room, A_ID, role="worker", metadata=WORKER_A)
    worker_b = join(api, connect_peer, ws_url, room, B_ID, role="worker", metadata=WORKER_B)
    client = join(api, connect_peer, ws_url, room, CLIENT_ID, role="client", metadata=CLIENT)

    # Phase 3: discovery.
    wanted = {
        "role": "worker",
        "tags": ["sleap-rtc", "training-worker"],
        "properties": {
            "gpu_memory_mb": {"$gte": 8192},
            "sleap_version": "1.3.0",
            "status": "available",
        },
    }
    found = client.ask({"type": "discover_peers", "from_peer_id": CLIENT_ID, "filters": wanted})
    connected_at = [peer.pop("connected_at") for peer in found["peers"]]
    assert found == {
        "type": "peer_list",
        "to_peer_id": CLIENT_ID,
        "count": 2,
        "peers": [
            {"peer_id": A_ID, "role": "worker", "metadata": WORKER_A},
            {"peer_id": B_ID, "role": "worker", "metadata": WORKER_B},
        ],
    }
    assert asked_at <= connected_at[0] <= connected_at[1] <= time.time()

    # Phases 4 to 6: requests, answers, the choice.
    for worker_id, worker in ((A_ID, worker_a), (B_ID, worker_b)):
        request = job(
            CLIENT_ID,
            worker_id,
            app_message_type="job_request",
            job_type="training",
            dataset_info={"format": "slp", "frame_count": 1000, "estimated_size_mb": 250},
            config={"model_type": "base", "epochs": 100, "batch_size": 8},
            requirements={"min_gpu_memory_mb": 8192, "estimated_duration_minutes": 45},
        )
        passes(client, worker, request)
    for worker_id, worker, minutes in ((A_ID, worker_a, 42), (B_ID, worker_b, 38)):
        response = job(
            worker_id,
            CLIENT_ID,
            app_message_type="job_response",
            accepted=True,
            estimated_start_time_sec=0,
            estimated_duration_minutes=minutes,
            worker_info={"gpu_utilization": 0.15, "available_memory_mb": 14000},
        )
        passes(worker, client, response)
    assignment = job(CLIENT_ID, B_ID, app_message_type="job_assignment", initiate_connection=True)
    passes(client, worker_b, assignment)

    # Phase 7: the WebRTC connection.
    sdp = "v=0\r\no=- 1234567890 2 IN IP4 127.0.0.1\r\n…"
    passes(client, worker_b, {"type": "offer", "sender": CLIENT_ID, "target": B_ID, "sdp": sdp})
    passes(worker_b, client, {"type": "answer", "sender": B_ID, "target": CLIENT_ID, "sdp": sdp})
    candidate = "candidate:1 1 UDP 2130706431 192.168.1.100 54321 typ host"
    passes(
        client,
        worker_b,
        {"type": "candidate", "sender": CLIENT_ID, "target": B_ID, "candidate": candidate},
    )
    passes(
        worker_b,
        client,
        {
            "type": "candidate",
            "sender": B_ID,
            "target": CLIENT_ID,
            "candidate": candidate,
            "sdpMid": "0",
            "sdpMLineIndex": 0,
        },
    )

    # Phases 8 and 9: progress and completion.
    status = job(
        B_ID,
        CLIENT_ID,
        app_message_type="job_status",
        status="running",
        progress=0.25,
        details={"current_epoch": 25, "total_epochs": 100, "current_loss": 0.0456},
    )
    passes(worker_b, client, status)
    result = {"model_size_mb": 25.3, "final_loss": 0.0189, "training_duration_minutes": 37}
    complete = job(B_ID, CLIENT_ID, app_message_type="job_complete", status="completed", result=result)
    passes(worker_b, client, complete)

    # Worker A remains available.
    still = client.ask({"type": "discover_peers", "from_peer_id": CLIENT_ID, "filters": {"role": "worker"}})
    assert [peer["peer_id"] for peer in still["peers"]] == [A_ID, B_ID]


def test_what_is_routed_is_passed_on_as_it_was_written(new_peer: Callable[..., RawPeer]) -> None:
    sender, receiver = new_peer("a"), new_peer("b")
    text = (
        '{ "payload": {"big": 12345678901234567890123, "float": 1.0, "text": "\\u00e9 é \\ud83d\\ude00"},'
        ' "unknown": [null], "to_peer_id":"b", "from_peer_id":"a", "type":"peer_message"}'
    )
    sender.send(text)
    assert receiver.connection.recv(timeout=120) == text


def test_metadata_is_merged_and_answered_whole(new_peer: Callable[..., RawPeer]) -> None:
    worker = new_peer(
        "w", metadata={"tags": ["x"], "properties": {"status": "available", "gpu": "T4", "n": 1}}
    )

    def update(metadata: dict[str, Any]) -> Any:
        answer = worker.ask({"type": "update_metadata", "peer_id": "w", "metadata": metadata})
        assert answer.keys() == {"type", "peer_id", "metadata"}
        assert (answer["type"], answer["peer_id"]) == ("metadata_updated", "w")
        return answer["metadata"]

    assert update({"properties": {"status": "busy", "gpu": None}}) == {
        "tags": ["x"],
        "properties": {"status": "busy", "n": 1},
    }
    assert update({"tags": ["y", "z"]}) == {"tags": ["y", "z"], "properties": {"status": "busy", "n": 1}}
    assert update({"tags": []}) == {"tags": [], "properties": {"status": "busy", "n": 1}}
    watcher = new_peer("c")
    found = watcher.ask(
        {"type": "discover_peers", "from_peer_id": "c", "filters": {"properties": {"status": "busy"}}}
    )
    assert found["peers"][0]["metadata"] == {"tags": [], "properties": {"status": "busy", "n": 1}}


def test_defaults_of_a_registration(new_peer: Callable[..., RawPeer]) -> None:
    new_peer("plain")
    found = new_peer("asker").ask({"type": "discover_peers", "from_peer_id": "asker", "filters": {}})
    assert found["count"] == 1
    assert found["peers"][0].keys() == {"peer_id", "role", "metadata", "connected_at"}
    assert found["peers"][0]["role"] == "peer"
    assert found["peers"][0]["metadata"] == {}


def test_a_peer_that_leaves_is_no_longer_found(new_peer: Callable[..., RawPeer]) -> None:
    leaver, stayer = new_peer("leaver"), new_peer("stayer")
    leaver.connection.close()
    everybody = {"type": "discover_peers", "from_peer_id": "stayer", "filters": {}}
    assert stayer.ask(everybody)["count"] == 0
    assert new_peer().register("leaver")["peer_id"] == "leaver"


def test_the_same_name_in_two_rooms_is_two_peers(
    server_process: Any,
    api: Api,
    account: dict[str, str],
    new_peer: Callable[..., RawPeer],
    connect_peer: Callable[..., RawPeer],
) -> None:
    here, sender = new_peer("twin"), new_peer("sender")
    other_room = api.create_room(account["id_token"])
    there = connect_peer(server_process.ws_url, other_room, account["id_token"])
    there.register("twin")
    passes(sender, here, job("sender", "twin", n=1))
    there.connection.close()
    passes(sender, here, job("sender", "twin", n=2))
