"""Checks the path to one worker by a data channel that carries no job."""

from __future__ import annotations

import secrets
from typing import Final

import attrs
import trio

from ..base.exception_groups import single_error
from ..base.nurseries import contained
from ..base.printable import printable
from ..base.sentences import as_sentence
from ..errors import (
    ChannelClosedError,
    ConnectionFailedError,
    NetworkError,
    PeerNotProvenError,
    ProtocolError,
    RefusedError,
    RoomSecretMissingError,
    SleapRTCError,
    UsageError,
)
from ..jobs.properties import WORKER_ROLE, problem_sentences, read_worker
from ..jobs.request_proof import request_proof
from ..protocol.codec import encode_job_message
from ..protocol.features import ATTACH_FEATURE
from ..protocol.jobs import AppError, ConnectionCheck, ConnectionCheckAnswer, JobMessage
from ..protocol.messages import PeerInfo, PeerMessage
from ..rtc.no_path import NoPathError
from ..rtc.peer import IceSettings, Path, open_peer
from ..rtc.proof import Role
from ..rtc.secret import RoomSecret
from ..signaling.post import Post
from ..signaling.session import Session
from ..transfer.proven import prove_membership
from ..transfer.rate import Rate, measure_rate
from .findings import Finding, failed, ok, skipped, warning
from .network import SLOW_MIB_PER_SEC, in_words, rate_facts, refusal_remedy

ANSWER_SEC: Final = 5.0
"""How long a worker may take to accept the check. One that doesn't know the message may not answer."""

CONNECT_TIMEOUT_SEC: Final = 12.0

_REMEDIES: Final[tuple[tuple[type[SleapRTCError], str], ...]] = (
    (UsageError, "`--engine auto` uses the engine that is installed."),
    (ConnectionFailedError, "Check the worker's log; a worker that hangs has to be restarted."),
    (
        ChannelClosedError,
        "There is a path, but it doesn't hold: try again, and check both machines' networks.",
    ),
    (ProtocolError, "Install the same version of sleap-rtc on both machines."),
    (NetworkError, "The connection to the room's server was lost meanwhile: try again."),
)


@attrs.frozen
class Measured:
    """A measured connection to a worker."""

    rate: Rate
    path: Path | None
    engine: str


async def _sort(session: Session, post: Post) -> None:
    """Sorts what arrives until the connection ends; a failure costs one message."""
    while True:
        message = await session.receive()
        with contained("A message can't be sorted."):
            post.sort(message)


async def check_worker(
    session: Session, worker_id: str, *, ice: IceSettings, engine: str, secret: RoomSecret | None
) -> Finding:
    """Finds a worker in the room and measures the path to it."""
    present = {peer.peer_id: peer for peer in await session.discover({"role": WORKER_ROLE})}
    worker = present.get(worker_id)
    if worker is None:
        who = ", ".join(map(printable, present)) or "no worker at all"
        sentence = f"There is no worker {printable(worker_id)} in the room; there is {who}."
        remedy = "Check the name, and that the worker was started with this room's invite."
        return failed("worker", sentence, remedy, workers=sorted(present))
    try:
        with single_error():
            async with trio.open_nursery() as nursery:  # a failure costs the check, which says so
                post = Post()
                nursery.start_soon(_sort, session, post)
                result = await _measure(session, post, worker, ice=ice, engine=engine, secret=secret)
                nursery.cancel_scope.cancel()
    except RefusedError as error:
        remedy = refusal_remedy(error)
        if isinstance(error, RoomSecretMissingError | PeerNotProvenError):
            remedy = "Start both sides with the same, whole invite (SLEAP_RTC_INVITE)."
        return failed(
            "worker",
            f"{printable(worker_id)}: {as_sentence(error)}",
            remedy,
            worker=worker_id,
            code=error.code,
        )
    except NoPathError as error:
        return failed("worker", error.finding, error.remedy, worker=worker_id, code=error.code)
    except SleapRTCError as error:
        remedy = next((words for kind, words in _REMEDIES if isinstance(error, kind)), "Try again.")
        return failed("worker", str(error), remedy, worker=worker_id, code=error.code)
    return result if isinstance(result, Finding) else judge_way(worker, result)


async def _measure(
    session: Session,
    post: Post,
    worker: PeerInfo,
    *,
    ice: IceSettings,
    engine: str,
    secret: RoomSecret | None,
) -> Finding | Measured:
    worker_id = worker.peer_id
    check = ConnectionCheck(f"check-{secrets.token_hex(8)}")
    if secret is not None:
        proof = request_proof(secret.key, check, client_id=session.peer_id, worker_id=worker_id)
        check = attrs.evolve(check, proof=proof)
    post.add_partner(worker_id)
    signals = post.signals.open(worker_id)
    await session.send(PeerMessage(session.peer_id, worker_id, encode_job_message(check)))
    answer: JobMessage | None = None
    with trio.move_on_after(ANSWER_SEC):
        _, answer = await post.next_job_message()
        while answer.job_id not in (None, check.job_id):
            _, answer = await post.next_job_message()
    if not isinstance(answer, ConnectionCheckAnswer):
        return _unmeasured(worker, answer)
    if not answer.accepted:
        sentence = f"{printable(worker_id)} is being measured by somebody else, or has a connection already."
        return skipped("worker", sentence, "Try again in half a minute.")
    async with open_peer(
        local_id=session.peer_id,
        remote_id=worker_id,
        initiator=True,
        send=session.send,
        incoming=signals,
        ice=ice,
        engine=engine,
        connect_timeout_sec=CONNECT_TIMEOUT_SEC,
    ) as peer:
        await prove_membership(peer, role=Role.CLIENT, secret=secret)
        return Measured(await measure_rate(peer.channel), peer.path, peer.engine)


def _unmeasured(worker: PeerInfo, answer: JobMessage | None) -> Finding:
    name = printable(worker.peer_id)
    if answer is not None:
        said = "doesn't know" if isinstance(answer, AppError) else "doesn't answer"
        sentence = (
            f"{name} is in the room and {said} the check of a connection: it is another implementation or "
            "version, so only a job can test the connection to it."
        )
        return skipped("worker", sentence)
    facts = {"worker": worker.peer_id}
    if _is_of_this_make(worker):
        sentence = f"{name} is in the room and doesn't answer: it hangs."
        return warning("worker", sentence, "Check its log, and restart it.", **facts)
    sentence = (
        f"{name} is in the room and doesn't answer: it may hang, or be another implementation or version."
    )
    remedy = (
        "Check its log; one that hangs has to be restarted. With another implementation, only a job can "
        "test the connection."
    )
    return warning("worker", sentence, remedy, **facts)


def _is_of_this_make(worker: PeerInfo) -> bool:
    """Whether a worker announces a feature that only workers with this check have."""
    return ATTACH_FEATURE in (read_worker(worker.metadata.properties).features or ())


def judge_way(worker: PeerInfo, measured: Measured) -> Finding:
    """Judges the path to a worker, and what the worker reports about itself."""
    rate, path = measured.rate, measured.path
    kind = {None: "", "direct": "directly, ", "relayed": "through a relay, "}.get(
        path.kind if path else None, ""
    )
    name = printable(worker.peer_id)
    sentence = f"{name} is connected {kind}by {measured.engine}: {in_words(rate)}."
    said = read_worker(worker.metadata.properties).problems or ()
    problems = [printable(sentence) for sentence in problem_sentences(said)]
    facts = {
        "worker": worker.peer_id,
        "path": None if path is None else path.kind,
        "engine": measured.engine,
        "worker_problems": problems,
        **rate_facts(rate),
    }
    if problems:
        return warning("worker", f"{sentence} {' '.join(problems)}", "Fix it on that machine.", **facts)
    if min(rate.upload_mib_per_sec, rate.download_mib_per_sec) < SLOW_MIB_PER_SEC:
        return warning("worker", f"{sentence} That is slow.", _faster(measured), **facts)
    return ok("worker", sentence, **facts)


def _faster(measured: Measured) -> str:
    """Returns what could make a slow path faster, judged by what was measured."""
    remedies = []
    if measured.engine != "libwebrtc":
        remedies.append("give both sides the fast engine (sleap-rooms[fast])")
    if measured.path is not None and measured.path.kind == "relayed":
        remedies.append("open a path without a relay")
    if not remedies:
        return "The network between the two is slow, or loses packets: try another, such as a cable."
    sentence = ", and ".join(remedies)
    return f"{sentence[0].upper()}{sentence[1:]}."
