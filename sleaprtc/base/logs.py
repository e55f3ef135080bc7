"""The log: structured records on standard error, as lines for a person or as JSON for a program.

Records of this package and of libraries take the same path: :mod:`logging` filters them by level, and
structlog adds their fields and formats them. Importing structlog takes a tenth of a second, so it is imported
with the first record: a command that logs nothing doesn't wait for it.
"""

from __future__ import annotations

import datetime
import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, cast

from .printable import printable

if TYPE_CHECKING:
    import structlog
    from structlog.typing import EventDict

HUMAN: Final = "human"
JSON: Final = "json"
AUTO: Final = "auto"
FORMATS: Final = (HUMAN, JSON, AUTO)

LEVELS: Final = ("debug", "info", "warning", "error")

TALKATIVE: Final = (
    "aioice",
    "aiortc",
    "asyncio",
    "httpcore",
    "h5py",
    "hypercorn",
    "quart",
    "trio-websocket",
    "wsproto",
)
"""Libraries whose debug and info records help only their own developers, and may contain HTTP headers."""

FIRST_FIELDS: Final = ("timestamp", "level", "event", "job", "peer", "room")
LAST_FIELDS: Final = ("logger", "exception")

_SECRETS: Final = (
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), "[id token]"),
    (re.compile(r"(sleap-rtcs?://[^\s#]+)#\S+"), r"\1#[token and secret]"),
    (re.compile(r"(?i)(bearer\s+)\S+"), r"\1[id token]"),
)
"""Secrets to hide in case a library's or a server's message contains them. This package logs none itself."""

_LEVEL_COLOURS: Final = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}


def log_to_standard_error(level: int, log_format: str = HUMAN) -> None:
    """Sends the log of this process to standard error.

    Args:
        level: The lowest level to log, as in :mod:`logging`.
        log_format: One of :data:`FORMATS`; ``auto`` is for a person on a terminal and JSON elsewhere.
    """
    is_terminal = sys.stderr.isatty()
    as_json = log_format == JSON or (log_format == AUTO and not is_terminal)
    handler = logging.StreamHandler()
    handler.setFormatter(
        RecordFormatter(as_json=as_json, colours=is_terminal and not os.environ.get("NO_COLOR"))
    )
    logging.basicConfig(level=level, handlers=[handler])
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Returns a logger that accepts fields: ``log.info("The model is packed.", size_bytes=12)``.

    Its records go to the standard library's logger of the same name.
    """
    return cast("structlog.stdlib.BoundLogger", _LateLogger(name))


class _LateLogger:
    """A logger of structlog that is made when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    @functools.cached_property
    def _logger(self) -> structlog.stdlib.BoundLogger:
        import structlog

        logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
            logging.getLogger(self._name),
            wrapper_class=structlog.stdlib.BoundLogger,
            processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
            cache_logger_on_first_use=True,
        )
        return logger

    def __getattr__(self, method: str) -> Callable[..., None]:
        """Returns a method of the logger, such as ``info``."""
        found: Callable[..., None] = getattr(self._logger, method)
        return found


def bind(**fields: Any) -> None:
    """Adds fields to all later records of the current task, and of tasks that it starts."""
    import structlog

    structlog.contextvars.bind_contextvars(**fields)


class RecordFormatter(logging.Formatter):
    """Formats a record, so that text from peers can't forge lines or control a terminal.

    Args:
        as_json: Whether a record is one line of JSON. Otherwise it is a line for a person, with any traceback
            below it.
        colours: Whether levels are shown in colour.
    """

    def __init__(self, *, as_json: bool = False, colours: bool = False) -> None:
        super().__init__()
        self._as_json = as_json
        self._colours = colours
        self._formatter: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record's text."""
        if self._formatter is None:
            self._formatter = self._make_formatter()
        return self._formatter.format(record)

    def _make_formatter(self) -> logging.Formatter:
        import structlog

        render = structlog.processors.JSONRenderer() if self._as_json else self._render_for_people
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                _add_source_and_time,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.format_exc_info,
                _hide_secrets,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _in_order, render],
        )

    def _render_for_people(self, _: Any, __: str, fields: MutableMapping[str, Any]) -> str:
        timestamp, level, event = (str(fields.pop(name, "")) for name in ("timestamp", "level", "event"))
        logger, exception = str(fields.pop("logger", "")), fields.pop("exception", None)
        shown = f"{level:<7}"
        if self._colours and level in _LEVEL_COLOURS:
            shown = f"\x1b[{_LEVEL_COLOURS[level]}m{shown}\x1b[0m"
        pairs = "".join(f" {name}={printable(_value(value))}" for name, value in fields.items())
        line = f"{timestamp} {shown} {printable(event)}{pairs} [{logger.removeprefix('sleaprtc.')}]"
        if exception is None:
            return line
        return "\n".join([line, *map(printable, str(exception).splitlines())])


def _value(value: Any) -> str:
    text = str(value)
    return repr(text) if not text or any(char.isspace() for char in text) else text


def _add_source_and_time(_: Any, __: str, fields: EventDict) -> EventDict:
    record: logging.LogRecord = fields["_record"]
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    fields["timestamp"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields["logger"] = record.name
    return fields


def _hide_secrets(_: Any, __: str, fields: EventDict) -> EventDict:
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = without_secrets(value)
    return fields


def without_secrets(text: str) -> str:
    """Replaces whatever looks like an id token, or like the token and secret of an invite."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _in_order(_: Any, __: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Moves the fields that a person looks for to the front, and long ones to the end."""
    first = [name for name in FIRST_FIELDS if name in fields]
    last = [name for name in LAST_FIELDS if name in fields]
    between = [name for name in fields if name not in first and name not in last]
    return {name: fields[name] for name in (*first, *between, *last)}
