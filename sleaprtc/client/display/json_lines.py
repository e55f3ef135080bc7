"""What ``--json`` shows."""

from __future__ import annotations

import json

from ..events import Event, as_json_object


class JSONDisplay:
    """One JSON object a line on standard output."""

    def show(self, event: Event) -> None:
        """Prints an event."""
        print(json.dumps(as_json_object(event), allow_nan=False), flush=True)
