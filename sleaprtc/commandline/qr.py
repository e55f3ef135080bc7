"""QR codes in a terminal, two modules per character."""

from __future__ import annotations

import os
import shutil
from typing import Final, TextIO

QUIET_ZONE: Final = 2
"""Light modules around the code. ISO/IEC 18004 asks for 4; readers manage with 2, and rows are scarce."""

_BLACK_ON_WHITE: Final = "\x1b[30;107m"
_RESET: Final = "\x1b[0m"
_HALVES: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
"""Characters by which of their halves, upper and lower, are drawn."""


def qr_for(text: str, stream: TextIO) -> str | None:
    """Draws a text as a QR code if ``stream`` can show it, and never into a file or a log.

    Returns:
        Lines for ``stream``; None unless it is a terminal that is wide enough and has the characters.
    """
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb" or not _can_encode(stream):
        return None
    rows = draw(text, colored=not os.environ.get("NO_COLOR"))
    width = len(rows[0].removeprefix(_BLACK_ON_WHITE).removesuffix(_RESET))
    return "\n".join(rows) if width <= shutil.get_terminal_size().columns else None


def draw(text: str, *, colored: bool) -> list[str]:
    """Draws a text as a QR code, black on white.

    Without colours, it draws the light modules, since most terminals are light on dark.
    """
    import segno  # only a worker that shows its invite needs it

    code = segno.make(text, error="l", micro=False)
    matrix = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]
    if len(matrix) % 2:
        matrix.append([False] * len(matrix[0]))
    rows = []
    for upper, lower in zip(matrix[::2], matrix[1::2], strict=True):
        halves = zip(upper, lower, strict=True)
        if colored:
            drawn = "".join(_HALVES[dark] for dark in halves)
            rows.append(f"{_BLACK_ON_WHITE}{drawn}{_RESET}")
        else:
            rows.append("".join(_HALVES[not dark_above, not dark_below] for dark_above, dark_below in halves))
    return rows


def _can_encode(stream: TextIO) -> bool:
    try:
        "".join(_HALVES.values()).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
