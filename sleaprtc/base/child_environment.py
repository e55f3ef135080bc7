"""Environment variables for the programs that this package starts, without secrets that they don't need.

Environments often contain room tokens, cloud keys and passwords, and child processes read strangers' files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

OWN_PREFIX: Final = "SLEAP_RTC_"
"""The prefix of this package's settings, which include tokens and invites."""

INTERPRETER_NAMES: Final = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""Variables that tie a process to one interpreter's packages. They would mislead another interpreter."""

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
"""Variables that let the same interpreter find the same packages and use the same locale."""


def without_secrets(
    inherited: Mapping[str, str] | None = None, *, other_python: bool = False
) -> dict[str, str]:
    """Returns an environment for a program that needs the user's settings, without possible secrets.

    Args:
        inherited: The environment to filter; by default this process's own.
        other_python: True if the program runs on another Python interpreter than this one.
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
    """Returns an environment with only what Python needs to start, for a child that just reads a file.

    Args:
        inherited: The environment to filter; by default this process's own.
    """
    return {
        name: value
        for name, value in (os.environ if inherited is None else inherited).items()
        if name in _NEEDED or name.startswith("LC_")
    }
