"""A command that only looks is there at once: it imports nothing of what only training needs."""

from __future__ import annotations

import json
import subprocess
import sys

from ..support.programs import client, environment

HEAVY_MODULES = {
    "aiortc",
    "asyncio",
    "h5py",
    "httpx",
    "numpy",
    "quart",
    "sleap_nn",
    "structlog",
    "torch",
    "wrtc",
}
TIMEOUT_SEC = 120


def test_listing_workers_imports_nothing_heavy(server_process):
    room = json.loads(client(server_process, "room", "create", "--json").stdout)
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from sleaprtc.cli import main\n"
        "main(['client', 'workers'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(server_process, room),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SEC,
    )
    assert ended.stdout.split() == ["There", "is", "no", "worker", "in", "the", "room."]
    assert not HEAVY_MODULES & set(ended.stderr.split())
