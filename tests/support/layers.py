"""The package's modules, and which of them only decide."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sleaprtc

PACKAGE_DIR: Final = Path(sleaprtc.__file__).parent

MODULES: Final = {
    ".".join(path.relative_to(PACKAGE_DIR).with_suffix("").parts): path
    for path in sorted(PACKAGE_DIR.rglob("*.py"))
}
"""Each module's file, by names such as ``rtc.channel`` and ``worker.__init__``."""

PURE: Final = ("protocol", "rooms", "jobs", "transfer.framing")
"""The parts that decide: they do no I/O and read no clock."""


def part_of(module: str) -> str:
    """The entry of the layers that a module falls under."""
    names = module.split(".")
    if names[-1] == "__main__":
        return "__main__"
    if names[:2] == ["transfer", "framing"]:
        return "transfer.framing"
    return names[0]


def modules_of(part: str) -> tuple[str, ...]:
    """Returns the modules of a part that have anything in them, as paths inside the package."""
    return tuple(
        path.relative_to(PACKAGE_DIR).as_posix()
        for name, path in MODULES.items()
        if part_of(name) == part and not name.endswith("__init__")
    )
