"""A lab for tests: a real server, workers with real agents, and a scripted trainer.

Everything but the training is real: sockets, data channels, files.
"""

from __future__ import annotations

import json
import zipfile
from contextlib import asynccontextmanager, closing
from pathlib import Path

import attrs
import h5py
import numpy as np
import trio

from sleaprtc.access.place import ConnectionOptions, PeerOptions
from sleaprtc.client.jobs.order.filters import WhichWorker
from sleaprtc.client.jobs.order.persistence import ONE_ATTEMPT
from sleaprtc.client.jobs.order.settings import PredictionSettings, TrainingSettings
from sleaprtc.client.jobs.track import track_on_a_worker
from sleaprtc.client.jobs.train import train_on_a_worker
from sleaprtc.client.room import installed_sleap_version
from sleaprtc.errors import TrainerError
from sleaprtc.protocol.messages import Metadata
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling.http import Endpoints, open_http
from sleaprtc.signaling.link import Membership, open_link
from sleaprtc.worker.agent import Agent
from sleaprtc.worker.jobs.roster import Roster
from sleaprtc.worker.jobs.settings import WorkerSettings
from sleaprtc.worker.journal.past_trainings import History
from sleaprtc.worker.journal.recovery import note_restart
from sleaprtc.worker.journal.store import Journal
from sleaprtc.worker.machine.description import worker_metadata
from sleaprtc.worker.machine.gpu import GpuInfo
from sleaprtc.worker.trainer import (
    EpochEnded,
    FramesPredicted,
    PredictionOutcome,
    StageStarted,
    Trainer,
    TrainerCapabilities,
    TrainingOutcome,
)

GPU = GpuInfo(
    model="Test GPU", memory_mb=16384, cuda_version="12.4", utilization=0.1, available_memory_mb=14000
)
LOOPBACK = ConnectionOptions(ice_loopback=True)
SECRET = RoomSecret(bytes(range(16)))
WITH_SECRET = attrs.evolve(LOOPBACK, secret=SECRET)
SLEAP_VERSION = installed_sleap_version() or "1.3.0"
"""A worker's: a client with sleap-nn beside it is refused by a worker with another major version."""
MODELS = ("base", "centroid", "topdown", "bottomup")


MODEL_CONFIG = "model_config: {{head_configs: {{{head}: {{confmaps: {{sigma: 2.5}}}}}}}}\n"


class ScriptedTrainer(Trainer):
    """Trains and predicts nothing; its script decides how long that takes and how it ends.

    Attributes:
        started: Set when a job's work begins.
        go_on: Work waits for this event after its first epoch or frame.
        failure: Raised after the first epoch or frame.
        salvages: Whether something can be made of a training that was cut.
        jobs: The jobs that it was given.
        running: The number of running jobs; back to 0 however they end.
        job_types: The job types that it announces.
        judge: Called with a prediction's job; may raise.
    """

    def __init__(self, *, epochs=3, failure=None, hold=False, job_types=("training",), judge=None):
        self.epochs = epochs
        self.job_types = job_types
        self.judge = judge or (lambda _: None)
        self.failure = failure
        self.started = trio.Event()
        self.go_on = trio.Event()
        if not hold:
            self.go_on.set()
        self.salvages = True
        self.jobs = []
        self.running = 0
        self.stopped_early = False

    async def probe(self):
        return TrainerCapabilities(MODELS, self.job_types, SLEAP_VERSION, "cuda")

    async def train(self, job, *, report, stop):
        self.jobs.append(job)
        self.running += 1
        self.started.set()
        try:
            report(StageStarted("training", "Training the centroid model on cuda:0", "centroid"))
            epoch = epochs_left(job)
            while epoch < self.epochs:
                epoch += 1
                loss = 1 / epoch
                (job.work_dir / "epochs").write_text(str(epoch))
                report(
                    EpochEnded(
                        "centroid", epoch, self.epochs, epoch / self.epochs, loss, loss, "cuda:0", epoch
                    )
                )
                if self.failure is not None:
                    raise self.failure
                await self._wait(stop)
                if stop.is_set():
                    self.stopped_early = True
                    break
        finally:
            self.running -= 1
        return TrainingOutcome((make_trained_model(job),), 1 / epoch, epoch, 12.0, "cuda:0")

    async def salvage(self, job, reason):
        epochs = epochs_left(job)
        if not (self.salvages and epochs):
            return None
        cut = f"The training was cut short: {epochs} of {self.epochs} epochs. {reason}"
        return TrainingOutcome((make_trained_model(job),), 1 / epochs, epochs, 12.0, "cuda:0", cut)

    async def predict(self, job, *, report, stop):
        self.jobs.append(job)
        self.running += 1
        self.started.set()
        try:
            self.judge(job)
            report(StageStarted("predicting", "Predicting 4 frames on cuda:0"))
            for frames in range(1, 5):
                report(FramesPredicted(frames, 4, 20.0, "cuda:0"))
                if self.failure is not None:
                    raise self.failure
                await self._wait(stop)
                if stop.is_set():
                    self.stopped_early = True
                    break
        finally:
            self.running -= 1
        predictions = make_labels(
            job.work_dir / "predictions.slp", frames=frames, video=f"{job.dataset.name}"
        )
        return PredictionOutcome(predictions, frames, 0.2, "cuda:0")

    async def _wait(self, stop):
        async with trio.open_nursery() as nursery:

            async def leave_when(event):
                await event.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(leave_when, stop)
            nursery.start_soon(leave_when, self.go_on)


def epochs_left(job):
    """How many epochs an earlier process has trained."""
    left = job.work_dir / "epochs"
    return int(left.read_text()) if left.exists() else 0


def make_trained_model(job):
    folder = job.work_dir / "models" / "centroid"
    folder.mkdir(parents=True, exist_ok=True)
    make_checkpoint(folder / "best.ckpt")
    (folder / "training_config.yaml").write_text(MODEL_CONFIG.format(head="centroid"))
    return folder


NOT_FINITE = TrainerError("The loss isn't finite any more.", error_code="LOSS_NOT_FINITE")


def make_labels(path: Path, *, frames=5, embedded=True, padding_bytes=0, video=None) -> Path:
    """Writes a labels file with only what the client reads; ``video`` is the path of its images."""
    with h5py.File(path, "w") as file:
        file["frames"] = np.zeros(frames, dtype=[("frame_id", "u8")])
        metadata = file.create_group("metadata")
        metadata.attrs["json"] = json.dumps({"skeletons": [{"graph": {"name": "fly"}}], "nodes": []})
        filename = video or ("." if embedded else "/videos/fly.mp4")
        video = json.dumps({"backend": {"filename": filename, "dataset": "video0/video"}})
        file["videos_json"] = np.array([video.encode()])
        file["padding"] = np.random.default_rng(0).integers(0, 255, padding_bytes, dtype="u1")
    return path


def make_checkpoint(path: Path, imports=("torch._utils _rebuild_tensor_v2",), weights_bytes=7000) -> Path:
    """Writes a checkpoint, a zip file that is always the same; loading it would import ``imports``."""
    pickled = b"".join(b"c" + name.replace(" ", "\n").encode() + b"\n" for name in imports)
    with zipfile.ZipFile(path, "w") as checkpoint:
        checkpoint.writestr(zipfile.ZipInfo("best/data.pkl"), b"\x80\x02" + pickled + b".")
        checkpoint.writestr(zipfile.ZipInfo("best/data/0"), np.random.default_rng(0).bytes(weights_bytes))
    return path


def make_model(folder: Path, head="centroid", *, imports=("torch._utils _rebuild_tensor_v2",)) -> Path:
    """Makes a model folder with a checkpoint that would import ``imports`` when it is loaded."""
    folder.mkdir(parents=True)
    make_checkpoint(folder / "best.ckpt", imports, 300_000)
    (folder / "training_config.yaml").write_text(MODEL_CONFIG.format(head=head))
    (folder / "training_log.csv").write_text("epoch,loss\n")
    return folder


def make_video(path: Path) -> Path:
    """Writes a file that begins like a video."""
    path.write_bytes(b"\x00\x00\x00\x20ftypisom" + np.random.default_rng(0).bytes(50_000))
    return path


def make_package(path: Path, labels: Path, heads=("centroid", "centered_instance")) -> Path:
    """Zips labels with one configuration for each head, as SLEAP's export does."""
    with zipfile.ZipFile(path, "w") as package:
        package.write(labels, labels.name)
        for head in heads:
            sections = f"backbone_config: {{unet: {{}}}}, head_configs: {{{head}: {{confmaps: {{}}}}}}"
            package.writestr(f"{head}.yaml", f"model_config: {{{sections}}}\n")
        training = [{"cfg": f"{head}.yaml", "train_labels": labels.name} for head in heads]
        package.writestr("jobs.yaml", json.dumps({"training": training}))
    return path


@attrs.frozen
class Lab:
    """A room on a running server."""

    endpoints: Endpoints
    account: object
    room: object
    tmp_path: Path

    @property
    def options(self):
        return PeerOptions(self.endpoints, self.room, LOOPBACK)

    @asynccontextmanager
    async def worker(self, name, trainer=None, *, gpu=GPU, max_jobs=1, read_gpu=None, **settings):
        """Runs a worker's agent in the room."""
        trainer = trainer or ScriptedTrainer()
        capabilities = await trainer.probe()
        metadata = worker_metadata(gpu, capabilities, max_jobs)
        membership = Membership(self.endpoints, self.room, name, "worker", metadata)
        jobs_dir = self.tmp_path / name
        jobs_dir.mkdir(exist_ok=True)
        with closing(Journal(self.tmp_path / f"{name}.sqlite3")) as journal:
            async with open_link(membership, self.account) as link, trio.open_nursery() as nursery:
                history = History(self.tmp_path / f"{name}.jsonl")
                roster = Roster(
                    link=link,
                    trainer=trainer,
                    history=history,
                    journal=journal,
                    failed=note_restart(journal),
                    settings=WorkerSettings(
                        jobs_dir=jobs_dir,
                        keep_results_sec=3600,
                        threads_per_job=1,
                        **{"connection": LOOPBACK, **settings},
                    ),
                )
                agent = Agent(
                    link=link,
                    roster=roster,
                    trainer_capabilities=capabilities,
                    read_gpu=read_gpu or (lambda: gpu),
                    history=history,
                    max_jobs=max_jobs,
                    secret=settings.get("connection", LOOPBACK).secret,
                )
                nursery.start_soon(agent.run)
                agent.jobs_dir = jobs_dir
                try:
                    yield agent
                finally:
                    nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def peer(self, name, role="client", **properties):
        """A peer that speaks the protocol and does nothing by itself."""
        metadata = Metadata(("sleap-rtc", "training-worker"), properties)
        membership = Membership(self.endpoints, self.room, name, role, metadata)
        async with open_link(membership, self.account) as link:
            yield link

    async def train(self, dataset, emit=lambda _: None, **changes):
        """Does what the `train` command does; a worker that is away is waited for ``away_sec``, if given."""
        out_dir = changes.pop("out_dir", self.tmp_path / "models")
        options = attrs.evolve(self.options, connection=changes.pop("connection", LOOPBACK))
        changes = _with_values(changes, TrainingSettings)
        return await train_on_a_worker(dataset, out_dir=out_dir, options=options, emit=emit, **changes)

    async def track(self, recording, *models, emit=lambda _: None, **changes):
        """Does what the `track` command does; ``away_sec`` as in :meth:`train`."""
        out = changes.pop("out", self.tmp_path / "predictions.slp")
        changes = _with_values(changes, PredictionSettings)
        return await track_on_a_worker(recording, models, out=out, options=self.options, emit=emit, **changes)


def _with_values(changes, settings_type):
    """The same with settings, persistence and which worker is asked as values of their own."""
    if "away_sec" in changes:
        persistence = changes.get("persistence", ONE_ATTEMPT)
        changes["persistence"] = attrs.evolve(persistence, away_sec=changes.pop("away_sec"))
    which = {
        field.name: changes.pop(field.name) for field in attrs.fields(WhichWorker) if field.name in changes
    }
    settings = settings_type(**changes.pop("settings", {}))
    return changes | {"which": WhichWorker(**which), "settings": settings}


async def open_lab(server, tmp_path) -> Lab:
    async with open_http(server.http_url) as http:
        account = await http.sign_in()
        room = await http.create_room(account)
    return Lab(Endpoints(server.ws_url, server.http_url), account, room, tmp_path)


SECRET = RoomSecret(bytes(range(16)))


WITH_SECRET = attrs.evolve(LOOPBACK, secret=SECRET)
