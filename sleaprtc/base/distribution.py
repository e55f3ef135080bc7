"""The distribution that this package was installed from, and the command that reinstalls it."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

NAME: Final = "sleap-rooms"
"""The distribution's name for pip. `sleap-rtc` on PyPI is another project."""

_SOURCE_TREE: Final = Path(__file__).parents[2]


def install_command(extra: str | None = None, *options: str) -> str:
    """Returns the shell command that reinstalls this package from its original source.

    Args:
        extra: One of the extras in setup.cfg, such as ``fast``.
        options: Further options of ``pip install``.
    """
    requirement = requirement_from(_direct_url(), extra)
    return shlex.join([sys.executable, "-m", "pip", "install", *options, *requirement])


def requirement_from(direct_url: dict[str, Any] | None, extra: str | None) -> list[str]:
    """Returns the arguments of ``pip install`` for a recorded origin.

    Args:
        direct_url: The origin that pip recorded (PEP 610); None if the package came from an index.
        extra: One of the extras in setup.cfg.
    """
    extras = f"[{extra}]" if extra else ""
    url = (direct_url or {}).get("url")
    if direct_url is None or not isinstance(url, str):
        return [f"{NAME}{extras}"]
    local = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
    if local is not None and not local.exists():  # such as a wheel that was deleted after it was installed
        return [f"{NAME}{extras}"]
    if local is not None:
        editable = (direct_url.get("dir_info") or {}).get("editable")
        return [*(["--editable"] if editable else []), f"{local}{extras}"]
    vcs = direct_url.get("vcs_info")
    if vcs:
        revision = vcs.get("requested_revision") or vcs.get("commit_id")
        url = f"{vcs.get('vcs')}+{url}@{revision}"
    subdirectory = direct_url.get("subdirectory")
    return [f"{NAME}{extras} @ {url}{f'#subdirectory={subdirectory}' if subdirectory else ''}"]


def _direct_url() -> dict[str, Any] | None:
    try:
        recorded = importlib.metadata.distribution(NAME).read_text("direct_url.json")
        is_installed = True
    except importlib.metadata.PackageNotFoundError:
        recorded, is_installed = None, False
    if recorded is None and (_SOURCE_TREE / "setup.cfg").is_file():
        # Without a record, the package runs from its source tree, as it does after `setup.py develop`.
        return {"url": _SOURCE_TREE.as_uri(), "dir_info": {"editable": is_installed}}
    origin = json.loads(recorded) if recorded else None
    return origin if isinstance(origin, dict) else None
