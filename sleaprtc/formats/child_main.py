"""The child's side of :mod:`sleaprtc.formats.child`: it limits its own process, and prints its answer.

A child is started for each file, so what is imported here has to load in a few milliseconds: no Trio, no log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from ..base.json_text import format_json
from ..errors import SleapRTCError

MAX_CPU_SEC: Final = 20
"""HDF5 can be made to go round in circles for ever; this ends it, however busy the machine is."""

MAX_ADDRESS_SPACE_BYTES: Final = 8 * 2**30
"""Of which numpy's and HDF5's libraries claim one or two, whatever they use."""


def answer(find: Callable[[], Mapping[str, object]]) -> None:
    """Limits this process, and prints what ``find`` returns, or the error that it raises."""
    _limit_resources()
    try:
        found = find()
    except SleapRTCError as error:
        found = {"error": str(error), "code": error.code}
    except MemoryError:
        found = {"error": "The file would take too much memory to read."}
    print(format_json(found))


def _limit_resources() -> None:
    if sys.platform.startswith("linux"):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SEC, MAX_CPU_SEC))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
