"""The environment variables of the programs that this package starts: none gets a secret it doesn't need.

Tokens of the room, keys of clouds and passwords stand in environments, and a child reads files from others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

OWN_PREFIX: Final = "SLEAP_RTC_"
"""Settings of this package, tokens and invites among them."""

INTERPRETER_NAMES: Final = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""What ties a process to one interpreter's packages, and would mislead another interpreter."""

_CREDENTIAL: Final = re.compile(
    r"TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ACCOUNT_?KEY|(^|_)PAT$"
    r"|(^|_)AUTH($|_)|_PWD$|(^|_)KEY$|COOKIE|CONNECTION_STRING|_DSN$|SSH_AUTH_SOCK|DATABASE_URL",
    re.IGNORECASE,
)
_URL_WITH_PASSWORD: Final = re.compile(r"://[^/@\s]*:[^/@\s]*@")

_NEEDED: Final = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "DYLD_FALLBACK_LIBRARY_PATH",
        "SYSTEMROOT",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPYCACHEPREFIX",
        "PYTHONWARNINGS",
        *INTERPRETER_NAMES,
    }
)
"""By which the same interpreter finds the same packages, and speaks the same language."""


def without_secrets(
    inherited: Mapping[str, str] | None = None, *, other_python: bool = False
) -> dict[str, str]:
    """An environment for a program that needs its user's settings: all of them but what can be a secret.

    Args:
        inherited: By default this process's own.
        other_python: True if the program is another Python than this one.
    """
    dropped = INTERPRETER_NAMES if other_python else frozenset()
    return {
        name: value
        for name, value in (os.environ if inherited is None else inherited).items()
        if not name.startswith(OWN_PREFIX) and name not in dropped and not _can_be_secret(name, value)
    }


def _can_be_secret(name: str, value: str) -> bool:
    return bool(_CREDENTIAL.search(name) or _URL_WITH_PASSWORD.search(value))


def bare(inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment for a program of ours that only reads a file: what Python needs to start."""
    return {
        name: value
        for name, value in (os.environ if inherited is None else inherited).items()
        if name in _NEEDED or name.startswith("LC_")
    }
