"""A test in which an error is logged fails, unless it says that it expects that."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MARK = "logs_error"


class Errors(logging.Handler):
    """Keeps what is logged as an error or worse, with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.logged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self.logged.append(self.format(record))


@contextmanager
def errors_fail(item: pytest.Item) -> Iterator[None]:
    """Fails a test for each error that it didn't expect, and for each missing one that it expected."""
    errors, root = Errors(), logging.getLogger()
    root.addHandler(errors)
    try:
        yield
    finally:
        root.removeHandler(errors)
    patterns = [str(pattern) for mark in item.iter_markers(MARK) for pattern in mark.args]
    unexpected = [text for text in errors.logged if not any(re.search(pattern, text) for pattern in patterns)]
    missed = [pattern for pattern in patterns if not any(re.search(pattern, text) for text in errors.logged)]
    faults = [f"An error was logged that the test didn't expect:\n{text}" for text in unexpected]
    faults += [f"No error was logged that matches {pattern!r}." for pattern in missed]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)
