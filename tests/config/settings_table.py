"""The tables of ``docs/configuration.md``: ``python -m tests.config.settings_table`` prints them."""

from __future__ import annotations

import json

from sleaprtc.config.schema import PROGRAMS, SETTINGS, SHARED, Kind

TITLES = {SHARED: "Worker and client"} | {name: f"[{name}]" for name in PROGRAMS}
KINDS = {
    Kind.TEXT: "text",
    Kind.PATH: "path",
    Kind.WHOLE: "whole number",
    Kind.NUMBER: "number",
    Kind.RATE: "rate",
    Kind.SWITCH: "true or false",
    Kind.TEXTS: "list of texts",
    Kind.PATHS: "list of paths",
}


def default_of(setting):
    if setting.default_text:
        return setting.default_text
    if setting.default is None:
        return ""
    return f"`{json.dumps(setting.default)}`"


def rows_of(section):
    yield "| setting | value | default | variable | meaning |"
    yield "|---|---|---|---|---|"
    for setting in SETTINGS[section].values():
        value = ", ".join(f"`{choice}`" for choice in setting.choices) or KINDS[setting.kind]
        variable = f"`{setting.variable}`" if setting.variable else ""
        yield f"| `{setting.name}` | {value} | {default_of(setting)} | {variable} | {setting.meaning} |"


if __name__ == "__main__":
    for section in (SHARED, *PROGRAMS):
        print(f"### {TITLES[section]}\n")
        print("\n".join(rows_of(section)), end="\n\n")
