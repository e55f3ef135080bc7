"""The parts of the soak by themselves: how it judges, what it measures, and which faults it injects."""

import errno
import os
import socket
import subprocess
import sys

import pytest
import trio

from ..support.system_packages import needs
from .processes import Ended
from .soak.disks import fill, make_room, missing_for_disks, open_disk
from .soak.faults import KINDS
from .soak.measuring import Census, Life, Sample, clients_of, growth_of, leaks_in
from .soak.network import NAMESPACES, open_network
from .soak.outcomes import Verdict, judge, kind_of
from .soak.recovery import Concerned, Progress, Step
from .soak.summary import FaultDone, Tally, as_table

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
needs_disks = pytest.mark.skipif(missing_for_disks() is not None, reason="needs root and mount")

COMPLETED = {
    "event": "completed",
    "model_dirs": ["models/centroid"],
    "final_loss": 0.25,
    "total_epochs": 4,
    "device": "cpu",
}
ANY_FAULT = {"server killed"}


def judged(status, last, *, faults=(), stderr="", right=True, seen=False):
    outcome = judge(
        "train",
        Ended(status, last, stderr),
        epochs=4,
        is_right_model=right,
        was_seen_running=seen,
        faults=set(faults),
    )
    return outcome.verdict, outcome.reason


# --- judging --------------------------------------------------------------------------------


def test_a_whole_result_is_done():
    assert judged(0, COMPLETED) == (Verdict.DONE, "")


@pytest.mark.parametrize("field", ["final_loss", "total_epochs", "device"])
def test_a_null_in_a_result_is_a_loss(field):
    assert judged(0, {**COMPLETED, field: None}) == (Verdict.LOSS, f"completed with {field} null")


@pytest.mark.parametrize(
    ("last", "right", "why"),
    [
        ({**COMPLETED, "model_dirs": []}, True, "without a model"),
        ({**COMPLETED, "total_epochs": 3}, True, "3 epochs in place of 4"),
        ({**COMPLETED, "final_loss": float("nan")}, True, "a loss of nan"),
        (COMPLETED, False, "another model"),
        ({"event": "detached"}, True, "the event 'detached'"),
        ({}, True, "the event None"),
    ],
)
def test_a_wrong_result_is_a_loss(last, right, why):
    verdict, reason = judged(0, last, right=right)
    assert verdict is Verdict.LOSS
    assert why in reason


def test_nulls_are_right_where_nothing_came_now():
    nulls = dict.fromkeys(("final_loss", "total_epochs", "device"))
    assert judged(0, {**COMPLETED, **nulls, "fetched_before": True}) == (Verdict.DONE, "")


@pytest.mark.parametrize(
    ("status", "code"), [(4, "NO_WORKER"), (1, "WORKER_LOST"), (1, "WORKER_AWAY"), (5, "CHANNEL_CLOSED")]
)
def test_what_is_tried_again_is_a_loss_where_nothing_was_broken(status, code):
    last = {"event": "error", "code": code, "message": "A sentence."}
    assert judged(status, last, faults=ANY_FAULT) == (Verdict.RETRY, "A sentence.")
    assert judged(status, last)[0] is Verdict.LOSS


def test_a_failure_needs_a_fault_that_explains_it():
    last = {"code": "JOB_FAILED", "message": "The worker was restarted while it had this job."}
    assert judged(1, last, faults={"worker killed"})[0] is Verdict.FAILED
    assert judged(1, last, faults={"client killed"})[0] is Verdict.LOSS


def test_a_client_whose_disk_is_full_tries_again():
    last = {"code": "STORAGE", "message": "models can't be written: No space left on device."}
    assert judged(1, last, faults={"client's disk full"})[0] is Verdict.RETRY


def test_a_forgotten_job_is_a_loss_once_it_ran():
    last = {"code": "UNKNOWN_JOB", "message": "The worker doesn't know this job."}
    assert judged(1, last, faults=ANY_FAULT, seen=True)[0] is Verdict.LOSS
    assert judged(1, last, faults=ANY_FAULT)[0] is Verdict.RETRY


@pytest.mark.parametrize("last", [{}, {"code": "NO_WORKER"}, {"message": "A sentence."}])
def test_no_reason_is_a_loss(last):
    assert judged(4, last, faults=ANY_FAULT)[0] is Verdict.LOSS


def test_a_traceback_is_a_loss_even_beside_a_result():
    assert judged(0, COMPLETED, stderr="Traceback (most recent call last)")[0] is Verdict.LOSS


def test_attempts_are_counted_by_status_and_code():
    assert kind_of("train", Ended(0, COMPLETED, "")) == "train: 0 done"
    assert kind_of("attach", Ended(5, {"code": "NETWORK"}, "")) == "attach: 5 NETWORK"
    assert kind_of("train", Ended(2, {}, "")) == "train: 2 no code"
    assert kind_of("train", Ended(-9, {}, ""), was_killed=True) == "train: killed by us"


# --- recovery -------------------------------------------------------------------------------


def test_everybody_has_to_go_on_after_what_concerned_everybody():
    steps = [Step(1.0, "a", "w1", is_done=True), Step(5.0, "a", "w1"), Step(7.0, "b", "w2", is_done=True)]
    everybody = Concerned(("a", "b"))
    assert everybody.first_after(0.0, steps, done=False) == 7.0
    assert everybody.first_after(2.0, steps, done=True) is None
    assert Concerned(("a", "b"), "w1").first_after(2.0, steps, done=False) == 5.0
    assert Concerned(("a",)).first_after(0.0, steps, done=True) == 1.0


async def test_steps_are_read_as_a_client_prints_them(tmp_path, autojump_clock):
    output, progress = tmp_path / "client.out", Progress()
    output.write_text("")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(progress.read, "a", output)
        with output.open("a") as file:
            file.write('{"event": "answers", "chosen": "w1"}\n{"event": "notice"}\n{"event": "tran')
            file.flush()
            await trio.sleep(1)
            assert progress.steps == []
            file.write('sfer"}\n')
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [(step.client, step.worker, step.is_done) for step in progress.steps] == [("a", "w1", False)]


# --- measuring ------------------------------------------------------------------------------


def live(life, jobs, descriptors):
    for _ in range(jobs):
        life.jobs += 1
        for busy in (10, 0, 0, 0):
            life.see(Sample(100.0, int(descriptors) + busy, 3), life.jobs * 10.0)
        descriptors += 0.5
    return life


def test_what_every_job_leaves_open_is_a_leak():
    growth = growth_of("worker", [live(Life("worker", 1, 0.0), 60, 20)])
    (sentence,) = leaks_in(growth)
    assert sentence.startswith("worker keeps 0.5")
    assert "descriptors" in sentence


def test_growth_is_counted_over_all_lives_and_not_between_them():
    lives = [live(Life("worker", number, 0.0), 15, 20 + number) for number in range(3)]
    growth = growth_of("worker", lives)
    assert growth.jobs_counted == 3 * 11
    assert leaks_in(growth) == []  # none of them has done enough
    assert 0.3 < growth.per_job[1] < 0.6
    assert growth.lives == 3
    assert growth.peak.descriptors > growth.end.descriptors


def test_few_jobs_say_nothing_of_leaks():
    assert leaks_in(growth_of("worker", [live(Life("worker", 1, 0.0), 8, 20)])) == []


def test_this_process_is_measured():
    census = Census()
    census.see({"me": os.getpid()}, 0.0)
    census.job_done("me", "nobody")
    census.see({"me": os.getpid(), "gone": 2**22 + 1}, 10.0)
    me, _gone = census.lives
    assert me.jobs == 1
    assert me.start.memory_mb > 10
    assert me.start.descriptors > 2
    assert me.start.threads >= 1
    assert clients_of(census.lives).peak == me.peak


# --- the summary ----------------------------------------------------------------------------


def test_the_table_says_what_was_left_out_and_what_was_lost():
    tally = Tally(7, 2.0, jobs=3, done=2)
    tally.attempts.update({"train: 0 done": 2, "train: 5 NETWORK": 1})
    tally.retries.update({"train: 5 NETWORK": 1})
    tally.faults += [FaultDone("UDP cut", "x", 1.0, 2.0, 0.5, 4.0), FaultDone("UDP cut", "x", 3.0, 4.0, 1.5)]
    tally.left_out.append("UDP cut (no namespaces: they need root)")
    tally.losses.append("job 3 didn't end in 240 s")
    table = as_table(tally, "a machine")
    assert "Left out: UDP cut (no namespaces: they need root)." in table
    assert "| train: 5 NETWORK | 1 | 1 |" in table
    assert "| UDP cut | 2 | 1.0 s | 1.5 s | 4.0 s | 4.0 s |" in table
    assert "**1 loss**\n- job 3 didn't end in 240 s" in table
    assert not tally.is_clean
    assert tally.as_json()["recovery"]["UDP cut"]["count"] == 2


def test_faults_explain_what_came_after_them():
    tally = Tally(7)
    tally.faults += [
        FaultDone("old", "", 1.0, 2.0),
        FaultDone("new", "", 8.0, 9.0),
        FaultDone("now", "", 0.5),
    ]
    assert tally.faults_since(5.0) == {"new", "now"}


def test_kinds_have_names_of_their_own():
    assert len({kind.name for kind in KINDS}) == len(KINDS)


# --- what needs root ------------------------------------------------------------------------


def udp_arrives(network, sender, receiver):
    """Whether a datagram gets from one host to the other."""

    def listen():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((network.address(receiver), 0))
        sock.settimeout(0.3)
        return sock

    with (
        network.on_host(receiver, listen) as there,
        network.on_host(sender, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as here,
    ):
        here.sendto(b"x", there.getsockname())
        try:
            return there.recv(10) == b"x"
        except TimeoutError:
            return False


def tcp_connects(network, sender, receiver):
    with network.on_host(receiver, socket.socket) as there, network.on_host(sender, socket.socket) as here:
        there.bind((network.address(receiver), 0))
        there.listen()
        here.settimeout(0.3)
        try:
            here.connect(there.getsockname())
        except TimeoutError:
            return False
        return True


@needs_root
@needs("ip", "iproute2")
def test_a_network_is_cut_and_mended_and_gone():
    with open_network(["a", "b"]) as network:
        assert udp_arrives(network, "a", "b")
        with network.cut("b", udp_only=True):
            assert not udp_arrives(network, "a", "b")
            assert not udp_arrives(network, "b", "a")
            assert tcp_connects(network, "a", "b")
        with network.cut("b"):
            assert not tcp_connects(network, "b", "a")
        assert udp_arrives(network, "a", "b")
        before = network.address("a")
        network.leave_network("a")
        network.join_another_network("a")
        assert network.address("a") != before
        assert tcp_connects(network, "a", "b")
        assert tcp_connects(network, "b", "a")
    assert list(NAMESPACES.glob(f"soak{os.getpid()}-*")) == []


@needs_root
@needs("ip", "iproute2")
def test_a_program_runs_on_a_host_under_its_own_pid():
    with open_network(["a"]) as network:
        script = "import os, socket; print(os.getpid(), *(name for _, name in socket.if_nameindex()))"
        words = [*network.inside("a"), sys.executable, "-c", script]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        said, _ = process.communicate()
        pid, *interfaces = said.split()
        assert pid == str(process.pid)
        assert {"lo", "eth0"} <= set(interfaces)


@needs_root
@needs("ip", "iproute2")
def test_namespaces_of_a_soak_that_was_killed_are_removed():
    script = "import os; from tests.faults.soak.network import *\nwith open_network(['a']): os._exit(9)"
    process = subprocess.Popen([sys.executable, "-c", script])
    assert process.wait() == 9
    assert list(NAMESPACES.glob(f"soak{process.pid}-*"))
    with open_network([]):
        assert list(NAMESPACES.glob(f"soak{process.pid}-*")) == []


@needs_disks
def test_a_disk_is_full_to_the_last_byte_and_has_room_again(tmp_path):
    folder = tmp_path / "disk"
    with open_disk(folder, 2**20):
        fill(folder)
        with pytest.raises(OSError, match="No space left") as error:
            (folder / "file").write_bytes(b"x")
        assert error.value.errno == errno.ENOSPC
        make_room(folder)
        (folder / "file").write_bytes(b"x")
    assert list(folder.iterdir()) == []
    assert not folder.is_mount()
