"""``python -m sleaprtc``, which is the ``sleap-rtc`` command."""

from __future__ import annotations

from .cli import main

main(prog_name="sleap-rtc")
