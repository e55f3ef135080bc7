"""Renews what ``architecture.md`` shows of a job's life from the tables in ``sleaprtc/jobs/life.py``.

``python docs/make_diagrams.py`` replaces what stands between each pair of ``<!-- life: NAME -->`` and
``<!-- /life -->``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sleaprtc.jobs.life import CAUSED_BY, IN_RECORDS, ON_WORKER, OWED, PLANNED_CAUSES, C, Party, Row, S

ARCHITECTURE: Final = Path(__file__).with_name("architecture.md")
_BLOCK: Final = re.compile(r"(<!-- life: (\w+) -->\n).*?(\n<!-- /life -->)", re.DOTALL)


def diagram(rows: Sequence[Row[S, C]], caused_by: Mapping[C, Party] | None = None) -> str:
    """Draws a table of transitions in Mermaid's language for state diagrams."""
    lines = ["stateDiagram-v2"]
    for row in rows:
        party = f" ({caused_by[row.cause]})" if caused_by is not None else ""
        lines.append(f"    {row.state} --> {row.next}: {row.cause}{party}")
    return "\n".join(lines)


def blocks() -> Mapping[str, str]:
    """Makes the blocks, by their names."""
    duties = "\n".join(
        f"| `{state}` | {', '.join(owed.worker) or 'nothing'} | {', '.join(owed.client) or 'nothing'} |"
        for state, owed in OWED.items()
    )
    return {
        "on_worker": f"```mermaid\n{diagram(ON_WORKER, CAUSED_BY)}\n```",
        "in_records": f"```mermaid\n{diagram(IN_RECORDS)}\n```",
        "owed": f"| state on the worker | the worker | the client |\n|---|---|---|\n{duties}",
        "planned": ", ".join(f"*{cause}*" for cause in sorted(PLANNED_CAUSES)),
    }


def renewed(text: str) -> str:
    """Returns a page with each of its blocks as the tables have it now.

    Raises:
        KeyError: The page names a block that isn't made here.
    """
    made = blocks()
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", text)


if __name__ == "__main__":
    ARCHITECTURE.write_text(renewed(ARCHITECTURE.read_text(encoding="utf-8")), encoding="utf-8")
