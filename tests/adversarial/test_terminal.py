"""Words of others never control a terminal, and forge no line of a log."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sleaprtc.base.logs import RecordFormatter
from sleaprtc.client.display import PlainDisplay
from sleaprtc.client.events.job import Completed, StatusChanged
from sleaprtc.commandline.run import run
from sleaprtc.demo.__main__ import make_narrator
from sleaprtc.errors import JobFailedError

EVIL = "\x1b[2J\x1b]0;owned\x07\r\nERROR forged\u202e\x9b31m"


def assert_harmless(text: str) -> None:
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.splitlines()), text
    assert "\nERROR forged" not in text


def test_an_error_of_the_other_side(capsys: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        raise JobFailedError(EVIL)

    with pytest.raises(SystemExit):
        run(fail)
    assert_harmless(capsys.readouterr().err)


@contextmanager
def log_into(stream: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.terminal")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RecordFormatter())
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield logger
    finally:
        logger.removeHandler(handler)


def test_a_line_of_the_log_and_a_traceback() -> None:
    stream = io.StringIO()
    with log_into(stream) as logger:
        logger.error("%s says: %s", EVIL, EVIL)
        assert len(stream.getvalue().splitlines()) == 1
        try:
            int(EVIL)
        except ValueError as error:
            error.add_note(EVIL)
            logger.exception("It failed.")
    text = stream.getvalue()
    assert "Traceback (most recent call last):\n" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_status() -> None:
    stream = io.StringIO()
    PlainDisplay(stream).show(StatusChanged(worker=EVIL, status=EVIL, progress=0.5, message=EVIL, model=EVIL))
    assert_harmless(stream.getvalue())


@pytest.mark.parametrize("fields", [{}, {"fetched_before": True}, {"job_type": "inference"}], ids=repr)
def test_a_result(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    evil = {"worker": EVIL, "device": EVIL, "model_dirs": (EVIL,), "predictions": EVIL}
    PlainDisplay(stream).show(Completed("job", **{**evil, **fields}))
    assert_harmless(stream.getvalue())


def test_what_a_demo_s_parts_say(capsys: pytest.CaptureFixture[str]) -> None:
    make_narrator(colored=False)("worker-1", EVIL)
    assert_harmless(capsys.readouterr().out)
