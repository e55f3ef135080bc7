"""Train SLEAP pose-estimation models on a GPU in another room, over WebRTC.

The public Python API. From a script or a notebook::

    import sleaprtc

    trained = sleaprtc.train("labels.pkg.slp", invite="sleap-rtc://gpu-box/a7f3d2e1#f9g2…", epochs=50)
    tracked = sleaprtc.track("video.mp4", trained.model_dirs, invite="sleap-rtc://gpu-box/a7f3d2e1#f9g2…")
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .access.place import PeerOptions
    from .client.events.job import Completed, Event, WorkerSummary

__all__ = ["__version__", "track", "train", "workers"]


def _peer_options(
    room: str | None,
    token: str | None,
    signaling_ws: str | None,
    signaling_http: str | None,
    ice_loopback: bool | None,
    invite: str | None,
) -> PeerOptions:
    """Fills what isn't given from the environment, as the command does, and from the room that was joined."""
    from .access.choice import RoomSource, RoomSources, find_access, weaker_sources
    from .access.place import DEFAULT_HTTP_URL, DEFAULT_WS_URL, ConnectionOptions, PeerOptions
    from .signaling.http import Endpoints

    environ = os.environ
    given = RoomSource("the call", {"invite": invite, "room": room, "token": token})
    ws_url = signaling_ws or environ.get("SLEAP_RTC_SIGNALING_WS")
    http_url = signaling_http or environ.get("SLEAP_RTC_SIGNALING_HTTP")
    sources = RoomSources((given, *weaker_sources(environ, (), "client")), bool(ws_url or http_url))
    endpoints = Endpoints(
        ws_url or DEFAULT_WS_URL, http_url or DEFAULT_HTTP_URL, environ.get("SLEAP_RTC_TLS_CA")
    )
    access = find_access(endpoints, sources)
    private = environ.get("SLEAP_RTC_PRIVATE_ICE_SERVERS", "1").lower()
    if ice_loopback is None:
        ice_loopback = environ.get("SLEAP_RTC_ICE_LOOPBACK", "0").lower() in ("1", "true", "yes", "on")
    connection = ConnectionOptions(
        ice_loopback=ice_loopback,
        private_ice_servers=private not in ("0", "false", "no", "off", "n", "f"),
        engine=environ.get("SLEAP_RTC_ENGINE", "auto"),
        secret=access.secret,
    )
    # What a script is given isn't for the commands that come later: it isn't remembered.
    return PeerOptions(access.endpoints, access.room, connection, access.is_remembered)


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
    configs: Sequence[str | os.PathLike[str]] = (),
    model_type: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    worker: str | None = None,
    filters: Mapping[str, Any] | None = None,
    wait: float | bool = False,
    retries: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Completed:
    """Trains on a worker of the room and brings the models home; blocks until they are there.

    What isn't given is looked up in the environment, under the names that the command line uses. An
    interrupt (Ctrl-C, a notebook's stop button) cancels the job on the worker.

    Args:
        dataset: Labels (``.slp``; those that point to videos are packed first, which needs sleap-io) or a
            training job package (``.zip``).
        out: Folder for the models; made where needed.
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line, instead of those.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        ice_loopback: Whether to connect over 127.0.0.1, for both ends on one machine.
        configs: Model configurations, in training order.
        model_type: ``base``, ``centroid``, ``topdown`` or ``bottomup``.
        epochs: Most epochs for each model.
        batch_size: Frames, or crops, a step.
        learning_rate: Of the optimizer.
        worker: The only worker to ask.
        filters: Which workers fit, as in a discovery (protocol reference, section 2).
        wait: Minutes to wait for a worker that is free, or True for as long as it takes.
        retries: How often to begin again where the worker was lost or the failure need not come again.
        on_event: Called with what happens, see ``sleaprtc.client.events``; prints lines by default.

    Returns:
        Where the models are, and what the worker said of them.

    Raises:
        SleapRTCError: One of its kinds, with a sentence that says what happened.
    """
    from .client.blocking import run_blocking
    from .client.display import open_display
    from .client.jobs.retry import Persistence
    from .client.jobs.train import train_on_a_worker

    options = _peer_options(room, token, signaling_ws, signaling_http, ice_loopback, invite)
    given = {
        "model_type": model_type,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }

    with open_display(as_json=False) as show:

        async def work() -> Completed:
            return await train_on_a_worker(
                Path(dataset),
                out_dir=Path(out),
                options=options,
                configs=[Path(config) for config in configs],
                settings={key: value for key, value in given.items() if value is not None},
                filters=filters,
                worker=worker,
                persistence=Persistence(math.inf if wait is True else 60 * wait, retries),
                emit=on_event or show,
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
    peak_threshold: float | None = None,
    batch_size: int | None = None,
    frames: str | None = None,
    tracking: bool | None = None,
    worker: str | None = None,
    filters: Mapping[str, Any] | None = None,
    wait: float | bool = False,
    retries: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Completed:
    """Predicts on a worker of the room and brings the predictions home; blocks until they are there.

    What isn't given is looked up as :func:`train` does. An interrupt cancels the job on the worker.

    Args:
        recording: A video, or labels (``.slp``), whose labelled frames are looked at anew.
        models: Model folders, or a folder of model folders, as a training leaves it.
        out: File for the predictions; ``NAME.predictions.slp`` in the current folder by default.
        replace: Whether the file takes the place of one that exists; else it gets a number.
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line, instead of those.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        ice_loopback: Whether to connect over 127.0.0.1, for both ends on one machine.
        peak_threshold: How sure a node must be, 0.0 to 1.0.
        batch_size: Frames at once.
        frames: Only these, such as ``"0-99,120"``.
        tracking: Whether animals are followed from frame to frame.
        worker: The only worker to ask.
        filters: Which workers fit, as in a discovery; of those that predict.
        wait: Minutes to wait for a worker that is free, or True for as long as it takes.
        retries: How often to begin again where the worker was lost or the failure need not come again.
        on_event: Called with what happens, see ``sleaprtc.client.events``; prints lines by default.

    Returns:
        Where the predictions are, and what the worker said of them.

    Raises:
        SleapRTCError: One of its kinds, with a sentence that says what happened.
    """
    from .client.blocking import run_blocking
    from .client.display import open_display
    from .client.jobs.retry import Persistence
    from .client.jobs.track import track_on_a_worker

    options = _peer_options(room, token, signaling_ws, signaling_http, ice_loopback, invite)
    folders = [models] if isinstance(models, str | os.PathLike) else models
    given = {
        "peak_threshold": peak_threshold,
        "batch_size": batch_size,
        "frames": frames,
        "tracking": tracking,
    }

    with open_display(as_json=False) as show:

        async def work() -> Completed:
            return await track_on_a_worker(
                Path(recording),
                [Path(folder) for folder in folders],
                out=None if out is None else Path(out),
                replace=replace,
                options=options,
                settings={key: value for key, value in given.items() if value is not None},
                filters=filters,
                worker=worker,
                persistence=Persistence(math.inf if wait is True else 60 * wait, retries),
                emit=on_event or show,
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
    """Lists the workers of a room that fit.

    Args:
        room: The room's id.
        token: The room's token.
        invite: Server, room, token and secret in one line, instead of those.
        signaling_ws: WebSocket address of the signaling server.
        signaling_http: HTTP address of the signaling server.
        filters: Which workers fit, as in a discovery; all of them by default.

    Raises:
        SleapRTCError: One of its kinds, with a sentence that says what happened.
    """
    from .client.blocking import run_blocking
    from .client.events.job import summarize
    from .client.jobs.filters import worker_filters
    from .client.room import open_room

    options = _peer_options(room, token, signaling_ws, signaling_http, None, invite)

    async def work() -> tuple[WorkerSummary, ...]:
        async with open_room(options.endpoints, options.room, on_change=lambda _: None) as (link, _):
            return tuple(summarize(peer) for peer in await link.discover(filters or worker_filters()))

    return run_blocking(work)
