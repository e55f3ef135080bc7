"""Lets tox find interpreters that pyenv has installed but not activated.

tox loads a ``toxfile.py`` beside its configuration by itself. What is found is added to what
``--discover`` and ``TOX_DISCOVER`` name, as a place to look in, so a machine without pyenv sees no
difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State

INTERPRETER_NAME = re.compile(r"python3\.1[1-9]")
"""Not ``python3.12-config``, and nothing older than what setup.cfg asks for."""


def pyenv_interpreters() -> list[str]:
    """Returns the CPython executables in pyenv's versions folder."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    executables = sorted(root.glob("versions/3.*/bin/python3.*"))
    return [str(path) for path in executables if INTERPRETER_NAME.fullmatch(path.name)]


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Runs once, before any environment looks for its interpreter."""
    state.conf.options.discover.extend(pyenv_interpreters())
