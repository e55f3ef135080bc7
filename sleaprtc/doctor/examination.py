"""Runs all checks, each with a time limit, and none that builds on a failed one."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio

from ..base.nurseries import contained
from ..base.sentences import as_clause
from ..client.room import client_metadata
from ..errors import NobodyReadsError, SleapRTCError
from ..jobs.properties import CLIENT_ROLE, WORKER_ROLE
from ..protocol.messages import Register
from ..signaling.http import Account, Room, open_http
from ..signaling.session import Session, open_session
from ..worker.machine.gpu import GpuInfo, read_gpu
from ..worker.machine.gpu_users import read_gpu_users, running_trainings
from ..worker.sleap_nn.trainer import SleapNNTrainer
from . import ice, measure_channels, measure_ice, measure_machine, measure_network, network, training
from .causes import classify
from .findings import Finding, failed, ok, skipped
from .plan import Plan
from .worker_check import check_worker

_log = logging.getLogger(__name__)

Emit = Callable[[Finding], None]

QUICK_SEC: Final = 6.0
"""The limit for a check that normally takes a fraction of a second."""

PROBE_SEC: Final = 20.0
"""The limit for importing torch, even from a cold disk."""

CHANNELS_SEC: Final = 24.0
WORKER_SEC: Final = 24.0

TOTAL_SEC: Final = 27.0
"""The limit for all checks together: nobody should wait more than half a minute for help."""

MACHINE_CHECKS: Final = ("python", "packages", "engines", "disk", "gpu", "trainer", "torch")
CHANNEL_CHECKS: Final = ("data_channel",)
NETWORK_CHECKS: Final = ("server", "clock", "sign_in", "websocket", "room", "ice")
WORKER_CHECK: Final = "worker"
CHECKS: Final = (*MACHINE_CHECKS, *CHANNEL_CHECKS, *NETWORK_CHECKS, WORKER_CHECK)
"""All checks, in reading order."""


class Examination:
    """Runs the checks of a plan.

    Args:
        plan: What to examine.
        emit: Takes each finding as it comes.
    """

    def __init__(self, plan: Plan, emit: Emit) -> None:
        self._plan = plan
        self._emit = emit
        self.findings: list[Finding] = []

    async def run(self) -> None:
        """Runs all checks. Whatever goes wrong becomes a finding."""
        network_checks = NETWORK_CHECKS if self._plan.worker is None else (*NETWORK_CHECKS, WORKER_CHECK)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_part, self._examine_machine, MACHINE_CHECKS)
            nursery.start_soon(self._run_part, self._examine_channels, CHANNEL_CHECKS)
            nursery.start_soon(self._run_part, self._ask_server, network_checks)

    async def _run_part(self, work: Callable[[], Awaitable[None]], checks: Sequence[str]) -> None:
        """Runs some checks in their order, and reports why the remaining ones didn't run.

        A failure costs one check (:meth:`_within`), or else the rest of these, and no other part.
        """
        with (
            contained("A part of the examination failed.", let_through=(NobodyReadsError,)),
            trio.move_on_after(TOTAL_SEC) as scope,
        ):
            await work()
        said = {finding.check for finding in self.findings}
        missing = [check for check in checks if check not in said]
        if missing and scope.cancelled_caught:
            self._say(_too_slow(missing.pop(0), TOTAL_SEC))
        for check in missing:
            self._say(self._why_skipped(check))

    def _why_skipped(self, check: str) -> Finding:
        if self._plan.is_configured or check in MACHINE_CHECKS:
            return skipped(check, "It depends on a check that failed.")
        remedy = network.HOW_TO_CONFIGURE if check == NETWORK_CHECKS[0] else None
        return skipped(check, "No server is configured.", remedy)

    def _say(self, finding: Finding) -> bool:
        self.findings.append(finding)
        self._emit(finding)
        return finding.is_usable

    async def _within(self, check: str, limit_sec: float, work: Callable[[], Awaitable[Finding]]) -> bool:
        """Reports what a check finds, or that it takes too long; returns whether others can build on it."""
        finding: Finding | None = None
        try:
            with trio.move_on_after(limit_sec):
                finding = await work()
        except Exception as error:  # whatever is broken here, the other checks still help
            _log.exception("The check %s failed unexpectedly.", check)
            finding = failed(
                check,
                f"This check itself failed: {as_clause(repr(error))}.",
                "The traceback above says where.",
            )
        return self._say(finding or _too_slow(check, limit_sec))

    async def _in_thread(self, check: str, work: Callable[[], Finding]) -> bool:
        return await self._within(
            check, QUICK_SEC, partial(trio.to_thread.run_sync, work, abandon_on_cancel=True)
        )

    # --- this machine -----------------------------------------------------------------------

    async def _examine_machine(self) -> None:
        plan = self._plan
        self._say(measure_machine.check_python())
        await self._in_thread("packages", measure_machine.check_packages)
        await self._in_thread("engines", measure_machine.check_engines)
        await self._in_thread("disk", partial(measure_machine.check_disk, plan.work_dir, plan.state_dir))
        await self._examine_training()

    async def _examine_training(self) -> None:
        gpu = GpuInfo(problem="The NVIDIA driver doesn't answer.")

        def look() -> Finding:
            nonlocal gpu
            gpu = read_gpu()
            return training.judge_gpu(gpu, read_gpu_users(gpu), running_trainings())

        await self._in_thread("gpu", look)
        trainer = SleapNNTrainer(self._plan.trainer_python, gpu_uuid=gpu.uuid)
        with trio.move_on_after(PROBE_SEC):
            capabilities = await trainer.probe()
            is_wanted = self._plan.trainer_python is not None or gpu.memory_mb > 0
            self._say(training.judge_trainer(capabilities, is_wanted=is_wanted))
            self._say(training.judge_torch(gpu, capabilities))
            return
        self._say(_too_slow("trainer", PROBE_SEC))
        self._say(skipped("torch", "The trainer's Python didn't answer."))

    # --- the server and the room ------------------------------------------------------------

    async def _ask_server(self) -> None:
        plan = self._plan
        account: Account | None = None
        clock_error_sec: float | None = None

        async def server() -> Finding:
            nonlocal clock_error_sec
            try:
                health, round_trip_ms, clock_error_sec = await measure_network.ask_health(plan.endpoints)
            except SleapRTCError as error:
                return network.judge_failed_call("server", classify(error))
            return network.judge_server(plan.endpoints.http_url, health.version, round_trip_ms)

        async def sign_in() -> Finding:
            nonlocal account
            try:
                async with open_http(plan.endpoints.http_url, plan.endpoints.ca_file) as http:
                    account = await http.sign_in()
            except SleapRTCError as error:
                return network.judge_failed_call("sign_in", classify(error))
            return ok("sign_in", "The server lets this machine sign in.")

        if not plan.is_configured and not await self._default_answers():
            return
        if not await self._within("server", QUICK_SEC, server):
            return
        self._say(network.judge_clock(clock_error_sec))
        if await self._within("sign_in", QUICK_SEC, sign_in) and account is not None:
            await self._enter(account)

    async def _default_answers(self) -> bool:
        """Whether a server runs at the default address."""
        with trio.move_on_after(1):
            try:
                await measure_network.ask_health(self._plan.endpoints)
            except SleapRTCError:
                return False
            return True
        return False

    async def _enter(self, account: Account) -> None:
        if self._plan.room is not None:
            await self._enter_room(account, self._plan.room)
            return
        try:
            async with measure_network.open_passing_room(self._plan.endpoints, account) as room:
                await self._enter_room(account, room)
        except SleapRTCError as error:
            self._say(network.judge_failed_call("room", classify(error)))

    async def _enter_room(self, account: Account, room: Room) -> None:
        name = f"doctor-{socket.gethostname()[:64]}-{secrets.token_hex(4)}"
        register = Register(
            name, room.room_id, room.token, account.id_token, role=CLIENT_ROLE, metadata=client_metadata()
        )
        endpoints = self._plan.endpoints
        try:
            async with open_session(
                endpoints.ws_url, register, connect_timeout_sec=QUICK_SEC, ca_file=endpoints.ca_file
            ) as session:
                await self._examine_room(session)
        except SleapRTCError as error:
            self._say_why_not_in(error)

    def _say_why_not_in(self, error: SleapRTCError) -> None:
        said = {finding.check for finding in self.findings}
        if "websocket" in said:  # it was in, and is no longer
            self._say(failed("worker" if "room" in said else "room", str(error), "Try again."))
            return
        if network.is_refusal(error):
            self._say(ok("websocket", f"{self._plan.endpoints.ws_url} speaks WebSocket."))
            self._say(network.judge_refused_room(error))
        else:
            self._say(network.judge_failed_call("websocket", classify(error)))

    async def _examine_room(self, session: Session) -> None:
        plan = self._plan
        self._say(ok("websocket", f"{plan.endpoints.ws_url} registers this machine."))
        workers = [peer.peer_id for peer in await session.discover({"role": WORKER_ROLE})]
        self._say(network.judge_room(session.registration.room_id, workers, is_own=plan.room is None))
        settings = await plan.connection.ice_settings(session.registration.ice_servers)

        async def ice_servers() -> Finding:
            return ice.judge_ice(await measure_ice.ask_ice_servers(settings.servers))

        await self._within("ice", QUICK_SEC, ice_servers)
        if plan.worker is not None and plan.room is None:
            sentence = "No room is configured in which a worker could be."
            self._say(skipped(WORKER_CHECK, sentence, network.HOW_TO_CONFIGURE))
        elif plan.worker is not None:
            await self._within(
                WORKER_CHECK,
                WORKER_SEC,
                partial(
                    check_worker,
                    session,
                    plan.worker,
                    ice=settings,
                    engine=plan.connection.engine,
                    secret=plan.connection.secret,
                ),
            )

    # --- data channels ----------------------------------------------------------------------

    async def _examine_channels(self) -> None:
        async def channels() -> Finding:
            engines = await trio.to_thread.run_sync(measure_channels.installed_engines)
            loopback = self._plan.connection.ice_loopback
            tests = [await measure_channels.test_engine(engine, loopback=loopback) for engine in engines]
            return network.judge_self_tests(tests, asked_for_loopback=loopback)

        await self._within("data_channel", CHANNELS_SEC, channels)


def _too_slow(check: str, limit_sec: float) -> Finding:
    if check in NETWORK_CHECKS and check != "ice":
        return network.judge_silence(check, limit_sec)
    sentence = f"This check had no result within {limit_sec:.0f} seconds."
    return failed(check, sentence, "Something hangs, such as a disk or a driver; try again.")
