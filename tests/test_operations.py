"""docs/operations.md has every limit of the wire, with the value that the code has."""

from __future__ import annotations

from pathlib import Path

import pytest

from sleaprtc.errors import SleapRTCError
from sleaprtc.protocol import limits
from sleaprtc.protocol.limits import MIB

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
NAMES = sorted(name for name in vars(limits) if name.isupper() and name != "MIB")


def written(name: str, value: float | str) -> str:
    """A value with its unit, as the table has it."""
    if isinstance(value, str):
        return f"`{value}`"
    if name.endswith("_BYTES"):
        return f"{value // MIB} MiB" if value % MIB == 0 else f"{value / 1024:g} KiB"
    if name.endswith("_PER_SEC"):
        return f"{value:g} a second"
    if name.endswith("_SEC"):
        return f"{value / 3600:g} h" if value >= 3600 else f"{value:g} s"
    return f"{value:,}"


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_every_limit(name: str) -> None:
    assert f"| `{name}` | {written(name, getattr(limits, name))} |" in PAGE.read_text()


def test_exit_codes_are_the_code_s() -> None:
    text = PAGE.read_text()

    def leaves(cls: type[SleapRTCError]) -> set[int]:
        return {cls.exit_status}.union(*(leaves(child) for child in cls.__subclasses__()))

    for status in leaves(SleapRTCError):
        assert f"| {status} |" in text


if __name__ == "__main__":
    for limit in NAMES:
        print(f"| `{limit}` | {written(limit, getattr(limits, limit))} |  |")
