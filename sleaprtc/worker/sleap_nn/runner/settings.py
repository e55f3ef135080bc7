"""How a training's settings differ from what was asked for, and which of them were chosen for the labels.

sleap-nn itself fills in what both sides leave out, so that its own defaults count as asked for.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

HIDDEN = ("api_key",)
MAX_SHOWN_CHARS = 200

FROM_LABELS = {"data_config.skeletons": "those of the labels"}
"""What sleap-nn takes from the labels whatever a configuration says, and how that is called."""

MAX_TOLD = 8


def describe_settings(
    model: Mapping[str, Any], asked: Mapping[str, Any], used: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the section ``settings`` of a report (docs/reference/report.md).

    Args:
        model: The model's part of the task.
        asked: What was asked for, completed by sleap-nn.
        used: The configuration that is trained with, completed likewise.
    """
    values = flatten(used)
    return {
        "configuration": model["configuration"],
        "changed": differences(flatten(asked), values, model["given"]),
        "chosen": [{"key": key, "used": shown(key, values.get(key))} for key in model["chosen"]],
    }


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a configuration by their keys, joined by dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found.update(flatten(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def differences(
    asked: Mapping[str, Any], used: Mapping[str, Any], given: Collection[str]
) -> list[dict[str, Any]]:
    """Lists the keys with different values; ``given`` has those that a configuration says itself."""
    changed = []
    for key in sorted({**asked, **used}):
        before, after = asked.get(key), used.get(key)
        if key in FROM_LABELS:
            after = FROM_LABELS[key] if before else before
        if before != after:
            entry = {"asked": shown(key, before), "used": shown(key, after), "given": key in given}
            changed.append({"key": key, **entry})
    return changed


def shown(key: str, value: Any) -> Any:
    """Returns a value as a report has it: a long one as the beginning of its text, a secret not at all."""
    if value is not None and key.rpartition(".")[2] in HIDDEN:
        return "(hidden)"
    if value is None or isinstance(value, bool | int | float):
        return value
    text = "".join(char if char.isprintable() else "?" for char in str(value))
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


def told(settings: Mapping[str, Any]) -> str | None:
    """Returns a sentence on what a configuration says and this training changes, if there is anything."""
    changed: Sequence[Mapping[str, Any]] = [entry for entry in settings["changed"] if entry["given"]]
    if not changed:
        return None
    entries = [f"{entry['key']} ({text(entry['asked'])} became {text(entry['used'])})" for entry in changed]
    more = len(entries) - MAX_TOLD
    names = ", ".join(entries[:MAX_TOLD]) + (f" and {more} more" if more > 0 else "")
    return f"Not as in {settings['configuration']}: {names}"


def text(value: Any) -> str:
    """Returns a value as YAML writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
