"""Train SLEAP pose-estimation models on a GPU in another room, over WebRTC.

The public Python API. From a script or a notebook::

    import sleaprtc

    trained = sleaprtc.train("labels.pkg.slp", invite="sleap-rtc://gpu-box/a7f3d2e1#f9g2…", epochs=50)
    tracked = sleaprtc.track("video.mp4", trained.model_dirs, invite="sleap-rtc://gpu-box/a7f3d2e1#f9g2…")
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .client.events.job import Completed, Detached, Event, WorkerSummary
    from .client.jobs.order.filters import WhichWorker
    from .client.jobs.order.persistence import Persistence

__all__ = ["__version__", "track", "train", "workers"]


def _which_worker(
    worker: str | None, filters: Mapping[str, Any] | None, *, ephemeral: bool = False
) -> WhichWorker:
    from .client.jobs.order.filters import WhichWorker, WorkerFilters

    which = WhichWorker(WorkerFilters.parse(filters) if filters else WorkerFilters(), worker=worker)
    return which.that_keep_nothing() if ephemeral else which


def _persistence(wait_minutes: float | bool, retries: int) -> Persistence:
    from .client.jobs.order.persistence import Persistence
    from .client.jobs.order.settings import number_above_zero, whole_number

    if isinstance(wait_minutes, bool):
        wait_sec = math.inf if wait_minutes else 0.0
    else:
        wait_sec = 60 * number_above_zero("wait", wait_minutes, or_zero=True)
    return Persistence(wait_sec, whole_number("retries", retries, least=0, most=100))


def _to_the_end(end: Completed | Detached) -> Completed:
    """Returns how a job ended that wasn't to be left to its worker."""
    from .client.events.job import Completed

    assert isinstance(end, Completed)
    return end


def _paths(name: str, given: object) -> list[Path]:
    """Returns one path, or several, as paths."""
    from .errors import UsageError

    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        given = [given]
    paths = []
    for path in given:
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"{name} must be a path, not {path!r}.")
        paths.append(Path(path))
    return paths


def _path(name: str, given: object) -> Path:
    (path,) = _paths(name, [given])
    return path


def train(
    dataset: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] = "models",
    room: str | None = None,
    token: str | None = None,
    invite: str | None = None,
    signaling_ws: str | None = None,
    signaling_http: str | None = None,
    ice_loopback: bool | None = None,
    limit_rate: str | None = None,
    configs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    val: str | os.PathLike[str] | None = None,
    model_type: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    worker: str | None = None,
    filters: Mapping[str, Any] | None = None,
    wait: float | bool = False,
    retries: int = 0,
    ephemeral: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Completed:
    """Trains on a worker in the room and saves the models here; blocks until it is done.

    What isn't given is taken from the environment variables that the command line uses. An interrupt
    (Ctrl-C, a notebook's stop button) leaves a training that has begun to its worker, and says how to end it.

    Args:
        dataset: Labels (``.slp``; those that point to videos are packed first, which needs sleap-io) or a
            training job package (``.zip``).
        out: Folder for the models; made if needed.
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line, instead of the single arguments.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        ice_loopback: Whether to connect over 127.0.0.1, for a worker on the same machine.
        limit_rate: The most bytes to send in a second, and to receive, such as ``"2M"``, or ``"none"``.
        configs: A model configuration, or several in training order. What they leave out has sleap-nn's own
            defaults.
        val: Labels to validate on; otherwise, some of the labelled frames are held out.
        model_type: ``base``, ``centroid``, ``topdown`` or ``bottomup``.
        epochs: The most epochs for each model.
        batch_size: Frames, or crops, per step.
        learning_rate: The optimizer's.
        worker: The only worker to ask.
        filters: Which workers fit, as in a discovery (protocol reference, section 2).
        wait: Minutes to wait for a free worker, or True for as long as it takes.
        retries: How often to retry if the worker was lost or the failure may not happen again.
        ephemeral: Whether the worker keeps nothing of the job once its result is here.
        on_event: Called with what happens, see ``sleaprtc.client.events``; prints lines by default.

    Returns:
        Where the models are, and what the worker reported about them.

    Raises:
        SleapRTCError: A subclass of it, with a sentence about what happened.
    """
    from .access.environment import connection_options, peer_options
    from .client.blocking import run_blocking
    from .client.display import open_display
    from .client.jobs.order.settings import TrainingSettings
    from .client.jobs.train import train_on_a_worker

    options = peer_options(
        os.environ,
        room=room,
        token=token,
        invite=invite,
        signaling_ws=signaling_ws,
        signaling_http=signaling_http,
        connection=connection_options(os.environ, ice_loopback=ice_loopback, limit_rate=limit_rate),
    )

    with open_display(as_json=False) as show:

        async def work() -> Completed:
            return _to_the_end(
                await train_on_a_worker(
                    _path("dataset", dataset),
                    out_dir=_path("out", out),
                    options=options,
                    configs=_paths("configs", configs),
                    validation=None if val is None else _path("val", val),
                    settings=TrainingSettings(model_type, epochs, batch_size, learning_rate),
                    which=_which_worker(worker, filters, ephemeral=ephemeral),
                    persistence=_persistence(wait, retries),
                    emit=on_event or show,
                )
            )

        return run_blocking(work)


def track(
    recording: str | os.PathLike[str],
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    replace: bool = False,
    room: str | None = None,
    token: str | None = None,
    invite: str | None = None,
    signaling_ws: str | None = None,
    signaling_http: str | None = None,
    ice_loopback: bool | None = None,
    limit_rate: str | None = None,
    peak_threshold: float | None = None,
    batch_size: int | None = None,
    frames: str | None = None,
    tracking: bool | None = None,
    worker: str | None = None,
    filters: Mapping[str, Any] | None = None,
    wait: float | bool = False,
    retries: int = 0,
    ephemeral: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Completed:
    """Predicts on a worker in the room and saves the predictions here; blocks until it is done.

    What isn't given is filled in as by :func:`train`, and an interrupt does the same.

    Args:
        recording: A video, or labels (``.slp``): then their labelled frames are predicted.
        models: Model folders, or a folder of model folders, as a training leaves it.
        out: File for the predictions; ``NAME.predictions.slp`` in the working directory by default.
        replace: Whether to replace a file that exists; otherwise the new one gets a number.
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line, instead of the single arguments.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        ice_loopback: Whether to connect over 127.0.0.1, for a worker on the same machine.
        limit_rate: The most bytes to send in a second, and to receive, such as ``"2M"``, or ``"none"``.
        peak_threshold: The least confidence of a node, 0.0 to 1.0.
        batch_size: Frames per step.
        frames: The frames to predict, such as ``"0-99,120"``; all by default.
        tracking: Whether to follow animals from frame to frame.
        worker: The only worker to ask.
        filters: Which of the workers that predict fit, as in a discovery.
        wait: Minutes to wait for a free worker, or True for as long as it takes.
        retries: How often to retry if the worker was lost or the failure may not happen again.
        ephemeral: Whether the worker keeps nothing of the job once its result is here.
        on_event: Called with what happens, see ``sleaprtc.client.events``; prints lines by default.

    Returns:
        Where the predictions are, and what the worker reported about them.

    Raises:
        SleapRTCError: A subclass of it, with a sentence about what happened.
    """
    from .access.environment import connection_options, peer_options
    from .client.blocking import run_blocking
    from .client.display import open_display
    from .client.jobs.order.settings import PredictionSettings
    from .client.jobs.track import track_on_a_worker

    options = peer_options(
        os.environ,
        room=room,
        token=token,
        invite=invite,
        signaling_ws=signaling_ws,
        signaling_http=signaling_http,
        connection=connection_options(os.environ, ice_loopback=ice_loopback, limit_rate=limit_rate),
    )

    with open_display(as_json=False) as show:

        async def work() -> Completed:
            return _to_the_end(
                await track_on_a_worker(
                    _path("recording", recording),
                    _paths("models", models),
                    out=None if out is None else _path("out", out),
                    replace=replace,
                    options=options,
                    settings=PredictionSettings(peak_threshold, batch_size, frames, tracking),
                    which=_which_worker(worker, filters, ephemeral=ephemeral),
                    persistence=_persistence(wait, retries),
                    emit=on_event or show,
                )
            )

        return run_blocking(work)


def workers(
    *,
    room: str | None = None,
    token: str | None = None,
    invite: str | None = None,
    signaling_ws: str | None = None,
    signaling_http: str | None = None,
    filters: Mapping[str, Any] | None = None,
) -> tuple[WorkerSummary, ...]:
    """Lists the workers in a room that fit.

    Args:
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line, instead of the single arguments.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        filters: Which workers fit, as in a discovery; all of them by default.

    Raises:
        SleapRTCError: A subclass of it, with a sentence about what happened.
    """
    from .access.environment import peer_options
    from .client.blocking import run_blocking
    from .client.events.job import summarize
    from .client.room import open_room

    options = peer_options(
        os.environ,
        room=room,
        token=token,
        invite=invite,
        signaling_ws=signaling_ws,
        signaling_http=signaling_http,
    )
    which = _which_worker(None, filters)

    async def work() -> tuple[WorkerSummary, ...]:
        async with open_room(options.endpoints, options.room, on_change=lambda _: None) as (link, _):
            return tuple(summarize(peer) for peer in await link.discover(which.filters.as_json()))

    return run_blocking(work)
