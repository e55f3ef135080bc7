"""Workers that keep to the protocol but aren't ours: what they leave out, and how else they say things."""

import itertools
import zipfile

import pytest
import trio

from sleaprtc.errors import (
    EXIT_JOB_FAILED,
    BrokenResultError,
    JobFailedError,
)

from ..support.foreign_worker import COMPLETE, ForeignWorker
from ..support.lab import make_labels


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp")


async def train(lab, labels, results, *last_words):
    return await train_on(ForeignWorker(lab, results, last_words), labels)


async def train_on(worker, labels):
    lab, failure = worker.lab, None
    (lab.tmp_path / "foreign").mkdir()
    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        try:
            completed = await lab.train(labels)
        except JobFailedError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return completed


async def test_a_checkpoint_stays_in_one_piece(lab, labels, tmp_path):
    with zipfile.ZipFile(tmp_path / "best.ckpt", "w") as checkpoint:  # as PyTorch writes them
        checkpoint.writestr("best/data.pkl", b"weights")
    completed = await train(lab, labels, [tmp_path / "best.ckpt"], COMPLETE)
    assert completed.model_dirs == (str(tmp_path / "models" / "best.ckpt"),)
    assert zipfile.is_zipfile(completed.model_dirs[0])


async def test_several_files_come_though_nobody_said_how_many(lab, labels, tmp_path):
    paths = [tmp_path / "best.ckpt", tmp_path / "training_config.yaml"]
    for path in paths:
        path.write_bytes(b"weights")
    completed = await train(lab, labels, paths, COMPLETE)
    assert [path.rpartition("/")[2] for path in completed.model_dirs] == [path.name for path in paths]


async def test_a_model_without_a_word(lab, labels, tmp_path):
    (tmp_path / "model.h5").write_bytes(b"content")
    completed = await train(lab, labels, [tmp_path / "model.h5"])
    assert len(completed.model_dirs) == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"error": {"code": "OOM", "message": "Out of memory.", "recoverable": None}},
        {"error": {"code": 7, "message": "Out of memory."}},
        {"error": "Out of memory."},
    ],
)
async def test_a_failure_in_any_form_ends_the_job(lab, labels, payload):
    with trio.fail_after(60), pytest.raises(JobFailedError, match="Out of memory"):
        await train(lab, labels, [], {"app_message_type": "job_failed", **payload})


async def test_a_checkpoint_with_code_in_it_is_set_aside(lab, labels, tmp_path):
    with zipfile.ZipFile(tmp_path / "best.ckpt", "w") as checkpoint:
        checkpoint.writestr("best/data.pkl", b"\x80\x02cos\nsystem\n.")
    completed = await train(lab, labels, [tmp_path / "best.ckpt"], COMPLETE)
    assert completed.model_dirs == (str(tmp_path / "models" / "best.ckpt.unsafe"),)
    assert not (tmp_path / "models" / "best.ckpt").exists()


def endless(tmp_path, *, size_bytes=100, same=False):
    """More and more files; each is written when it is wanted."""
    for number in itertools.count():
        path = tmp_path / f"m{0 if same else number}.bin"
        path.write_bytes(bytes(size_bytes))
        yield path


@pytest.mark.parametrize(
    ("last_words", "same"),
    [((), True), ((COMPLETE,), False), (({**COMPLETE, "result": {"file_count": 10**9}},), False)],
    ids=["the same file, no word", "files, not counted", "files, counted"],
)
async def test_files_without_end_are_refused(lab, labels, tmp_path, monkeypatch, last_words, same):
    monkeypatch.setattr("sleaprtc.client.results.limits.MAX_RESULT_FILES", 4)
    worker = ForeignWorker(lab, endless(tmp_path, same=same), last_words)
    with (
        trio.fail_after(60),
        pytest.raises(BrokenResultError, match=r"^foreign sent more than 4 files") as caught,
    ):
        await train_on(worker, labels)
    assert caught.value.exit_status == EXIT_JOB_FAILED
    assert "no result of more than 4 files" in worker.refusals[0]
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file()]


async def test_what_nobody_wants_has_an_end_too(lab, labels, tmp_path, monkeypatch):
    monkeypatch.setattr("sleaprtc.client.results.limits.MAX_RESULT_FILES", 4)
    worker = ForeignWorker(lab, endless(tmp_path), purpose="config")
    with trio.fail_after(60), pytest.raises(BrokenResultError):
        await train_on(worker, labels)
    assert len(worker.refusals) >= 5


async def test_more_bytes_than_a_result_can_have_are_refused(lab, labels, tmp_path, monkeypatch):
    monkeypatch.setattr("sleaprtc.client.results.limits.MAX_RESULT_BYTES", 250_000)
    monkeypatch.setattr("sleaprtc.client.results.limits.GIB", 100_000)
    worker = ForeignWorker(lab, endless(tmp_path, size_bytes=100_000), (COMPLETE,))
    with trio.fail_after(60), pytest.raises(BrokenResultError, match=r"^foreign sent more than 2 GiB"):
        await train_on(worker, labels)
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file()]
