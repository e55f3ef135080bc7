"""Files with secrets in them: readable by their owner only, and written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import StorageError


def write_private_json(path: Path, content: Any) -> None:
    """Writes a JSON file, making its folder where needed.

    Raises:
        StorageError: The folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")  # 0600 by itself
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(path)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}.") from error
