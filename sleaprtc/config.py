"""Settings from files: a project's ``sleap-rtc.toml`` over the user's ``config.toml``.

Flags and environment variables come before both; click takes care of that, with what this module returns
as its ``default_map``.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Final

import platformdirs

from .errors import UsageError

PROJECT_FILE_NAME: Final = "sleap-rtc.toml"
USER_FILE_NAME: Final = "config.toml"

_SHARED: Final[dict[str, tuple[type, ...]]] = {
    "room": (str,),
    "token": (str,),
    "token-file": (str,),
    "secret": (str,),
    "invite": (str,),
    "tls-ca": (str,),
    "signaling-ws": (str,),
    "signaling-http": (str,),
    "ice-loopback": (bool,),
    "ice-server": (str, list),
    "engine": (str,),
}
_SECTIONS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "worker": {
        "name": (str,),
        "work-dir": (str,),
        "max-jobs": (int,),
        "threads": (int,),
        "keep-results": (int, float),
        "cache-size-mb": (int,),
        "gpu": (int,),
        "trainer-python": (str,),
    },
    "client": {
        "out": (str,),
        "config": (str, list),
        "model-type": (str,),
        "epochs": (int,),
        "batch-size": (int,),
        "learning-rate": (int, float),
        "min-gpu-memory-mb": (int, float),
        "tag": (str, list),
        "property": (str, list),
        "worker": (str,),
        "select": (str,),
        "response-timeout": (int, float),
    },
    "server": {
        "host": (str,),
        "ws-port": (int,),
        "http-port": (int,),
        "state-dir": (str,),
        "room-ttl": (int, float),
        "ice-server": (str, list),
        "tls-cert": (str,),
        "tls-key": (str,),
        "trusted-proxy": (str, list),
    },
}


_PARAMETERS: Final = {
    "config": "configs",
    "gpu": "gpu_index",
    "ice-server": "ice_servers",
    "out": "out_dir",
    "property": "conditions",
    "select": "rule",
    "tag": "tags",
    "trusted-proxy": "trusted_proxies",
}
"""Keys whose option has a parameter of another name."""


def default_files() -> list[Path]:
    """Lists the files that are read where they exist, the weaker first."""
    return [platformdirs.user_config_path("sleap-rtc") / USER_FILE_NAME, Path(PROJECT_FILE_NAME)]


def load_defaults(section: str, explicit_file: Path | None = None) -> dict[str, Any]:
    """Reads what the files say for one of ``worker``, ``client`` and ``server``.

    Args:
        section: The command; keys outside any section hold for worker and client.
        explicit_file: Read instead of the default files, and must exist.

    Returns:
        Values by parameter name, as click's ``default_map`` wants them.

    Raises:
        UsageError: A file can't be read, or has a key or a value that it can't have.
    """
    if explicit_file is not None:
        files = [explicit_file]
    else:
        files = [path for path in default_files() if path.is_file()]
    merged: dict[str, Any] = {}
    for path in files:
        content = _read(path)
        if section != "server":
            merged |= {key: content[key] for key in _SHARED if key in content}
        merged |= content.get(section, {})
    return {_PARAMETERS.get(key, key.replace("-", "_")): value for key, value in merged.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error
    for key, value in content.items():
        if key in _SECTIONS and isinstance(value, dict):
            for inner_key, inner_value in value.items():
                _check(path, f"[{key}] {inner_key}", inner_key, inner_value, _SECTIONS[key] | _SHARED)
        else:
            _check(path, key, key, value, _SHARED | dict.fromkeys(_SECTIONS, (dict,)))
    return content


def _check(path: Path, shown: str, key: str, value: Any, schema: dict[str, tuple[type, ...]]) -> None:
    if key not in schema:
        near = difflib.get_close_matches(key, schema, n=1)
        hint = f"; did you mean {near[0]}?" if near else f". Known are: {', '.join(sorted(schema))}."
        raise UsageError(f"{path}: unknown key {shown}{hint}")
    if type(value) not in schema[key]:
        wanted = " or ".join(kind.__name__ for kind in schema[key])
        raise UsageError(f"{path}: {shown} must be of type {wanted}.")
