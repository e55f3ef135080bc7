"""The server as a process: its log, its one line of output, its signals."""

from __future__ import annotations

import logging
import signal
import sys
from functools import partial

import trio

from .serve import serve
from .settings import ServerSettings


async def serve_until_signalled(settings: ServerSettings) -> None:
    """Serves until SIGINT or SIGTERM.

    Raises:
        AddressInUseError: A port can't be had.
        StorageError: The state folder can't be used.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(partial(serve, settings, stop=stop))
            print(f"ready ws={addresses.ws_url} http={addresses.http_url}", flush=True)
            await anext(aiter(signals))
            logging.getLogger(__name__).info("Leaving: every peer is told.")
            stop.set()
