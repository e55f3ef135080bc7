"""The server as a process: its log, its one line of output, and its signals."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from typing import Final

import trio

from ..base.folder_lock import lock_folder
from ..base.logs import get_logger
from .descriptors import raise_descriptor_limit
from .serve import serve
from .settings import ServerSettings

_log = get_logger(__name__)

EXIT_SEC: Final = 4.0
"""The most that passes between a signal and the process's end; normally it is a fraction of a second."""


async def serve_until_signalled(settings: ServerSettings) -> None:
    """Serves until SIGINT or SIGTERM, or until a listener fails.

    Raises:
        AddressInUseError: The server can't listen on one of its ports.
        StorageError: The state folder can't be used.
    """
    raise_descriptor_limit()
    stop = trio.Event()
    with (
        lock_folder(settings.state_dir, "server", "--state-dir"),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        async with trio.open_nursery() as nursery:  # a failure ends the server, see serve()
            addresses = await nursery.start(partial(serve, settings, stop=stop))
            print(f"ready ws={addresses.ws_url} http={addresses.http_url}", flush=True)
            await anext(aiter(signals))
            _log.info("Shutting down: every peer is told.")
            _be_gone_in_time()
            stop.set()


def _be_gone_in_time() -> None:
    """Makes sure that the process ends within ``EXIT_SEC``, even if something such as a disk blocks it.

    Nothing is lost then: every change is on disk before it is answered.
    """
    last_resort = threading.Timer(EXIT_SEC, os._exit, (0,))
    last_resort.daemon = True
    last_resort.start()
