"""WebRTC stacks behind one narrow interface.

Apart from ``sleaprtc.rtc._bridge``, these are the only modules that import asyncio or a WebRTC stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...base.distribution import install_command
from ...base.sentences import as_clause
from ...errors import UsageError

if TYPE_CHECKING:
    from .base import Engine

ENGINE_NAMES = ("auto", "aiortc", "libwebrtc")


def engine_class(name: str) -> type[Engine]:
    """Returns an engine's class by its name; ``auto`` means the fastest that is installed.

    The stacks take long to import, so each is imported only when it's chosen.

    Raises:
        UsageError: There is no such engine, or it isn't installed.
    """
    if name not in ENGINE_NAMES:
        raise UsageError(f"There is no WebRTC engine {name!r}; there are {', '.join(ENGINE_NAMES)}.")
    if name != "aiortc":
        try:
            from .libwebrtc_engine import LibwebrtcEngine
        except ImportError as error:
            if name == "libwebrtc":
                raise UsageError(
                    f"The WebRTC engine libwebrtc can't be loaded ({as_clause(error)}); "
                    f"{install_command('fast')} installs it."
                ) from error
        else:
            return LibwebrtcEngine
    from .aiortc_engine import AiortcEngine

    return AiortcEngine
