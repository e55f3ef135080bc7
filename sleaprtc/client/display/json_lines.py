"""What ``--json`` shows."""

from __future__ import annotations

from ...json_output import print_json
from ..events import Event, as_json_object


class JSONDisplay:
    """One JSON object a line on standard output."""

    def show(self, event: Event) -> None:
        """Prints an event."""
        print_json(as_json_object(event))
