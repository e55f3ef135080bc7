"""Every setting of every program: its name, what it may be, and what it is where nobody sets it.

The one schema behind the settings files, ``sleap-rtc config show`` and ``docs/configuration.md``. The options
of the command line are declared where they are used; ``tests/config/test_schema.py`` holds the two together.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

SHARED: Final = "shared"
"""The settings of worker and client, which stand above the sections of a file."""

PROGRAMS: Final = ("worker", "client", "server")
"""The programs that have settings; each has a section of its name."""


class Kind(enum.Enum):
    """What a value is; the text is what a sentence calls it."""

    TEXT = "a text in quotes"
    PATH = "a path in quotes"
    WHOLE = "a whole number"
    NUMBER = "a number"
    SWITCH = "true or false"
    TEXTS = "a text in quotes or a list of them"
    PATHS = "a path in quotes or a list of them"


MANY: Final = (Kind.TEXTS, Kind.PATHS)
FILES: Final = (Kind.PATH, Kind.PATHS)


@attrs.frozen
class Setting:
    """One thing that can be set.

    Attributes:
        name: In files, with ``_``; files may have ``-`` there, as the command line does.
        meaning: A phrase for a table, with the unit.
        variable: The environment variable that sets it.
        default: What it is where nothing sets it.
        default_text: How that is said, where the value itself doesn't say it.
        minimum: The least that a number may be; where ``above`` is true, more than that.
        secret: Whether its value is never shown.
        parameter: What the option's parameter is called, where that isn't ``name``.
    """

    name: str
    kind: Kind
    meaning: str
    variable: str | None = None
    default: Any = None
    default_text: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    choices: tuple[str, ...] = ()
    secret: bool = False
    parameter: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True), kw_only=True)


_LOG: Final = (
    Setting(
        "log_format",
        Kind.TEXT,
        "Lines for people, or JSON; auto is people on a terminal and JSON elsewhere.",
        "SLEAP_RTC_LOG_FORMAT",
        "human",
        choices=("human", "json", "auto"),
    ),
    Setting(
        "log_level",
        Kind.TEXT,
        "How much is logged on standard error.",
        "SLEAP_RTC_LOG_LEVEL",
        default_text="info; error for the client",
        choices=("debug", "info", "warning", "error"),
    ),
)
_SHARED: Final = (
    Setting(
        "invite", Kind.TEXT, "Server, room, token and secret in one line.", "SLEAP_RTC_INVITE", secret=True
    ),
    Setting("room", Kind.TEXT, "The room's id.", "SLEAP_RTC_ROOM_ID"),
    Setting("token", Kind.TEXT, "The room's token.", "SLEAP_RTC_TOKEN", secret=True),
    Setting("token_file", Kind.PATH, "Where the room's token is read from."),
    Setting("secret", Kind.TEXT, "The room's secret.", "SLEAP_RTC_SECRET", secret=True),
    Setting(
        "signaling_ws",
        Kind.TEXT,
        "WebSocket address of the signaling server.",
        "SLEAP_RTC_SIGNALING_WS",
        "ws://127.0.0.1:8080/",
    ),
    Setting(
        "signaling_http",
        Kind.TEXT,
        "HTTP address of the signaling server.",
        "SLEAP_RTC_SIGNALING_HTTP",
        "http://127.0.0.1:8001",
    ),
    Setting("tls_ca", Kind.PATH, "Certificates (PEM) that vouch for the server.", "SLEAP_RTC_TLS_CA"),
    Setting(
        "ice_loopback",
        Kind.SWITCH,
        "Connect over 127.0.0.1, on one machine.",
        "SLEAP_RTC_ICE_LOOPBACK",
        False,
    ),
    Setting(
        "ice_server",
        Kind.TEXTS,
        "STUN and TURN servers.",
        "SLEAP_RTC_ICE_SERVER",
        (),
        secret=True,
        parameter="ice_servers",
    ),
    Setting(
        "private_ice_servers",
        Kind.SWITCH,
        "Ask STUN and TURN servers that the signaling server names at private addresses, too.",
        "SLEAP_RTC_PRIVATE_ICE_SERVERS",
        True,
    ),
    Setting(
        "engine",
        Kind.TEXT,
        "Which WebRTC implementation carries the data.",
        "SLEAP_RTC_ENGINE",
        "auto",
        choices=("auto", "aiortc", "libwebrtc"),
    ),
    *_LOG,
)
_WORKER: Final = (
    Setting("name", Kind.TEXT, "Name in the room.", "SLEAP_RTC_WORKER_NAME", default_text="this host's name"),
    Setting(
        "work_dir",
        Kind.PATH,
        "Where jobs keep their files while they run.",
        "SLEAP_RTC_WORK_DIR",
        default_text="a folder of the user's data folder",
    ),
    Setting("max_jobs", Kind.WHOLE, "Jobs at once.", default=1, minimum=1, maximum=64),
    Setting("threads", Kind.WHOLE, "CPU threads a job.", default_text="all cores but one", minimum=1),
    Setting(
        "gpu",
        Kind.WHOLE,
        "Index of the GPU.",
        default_text="most free memory",
        minimum=0,
        parameter="gpu_index",
    ),
    Setting(
        "trainer_python",
        Kind.PATH,
        "The Python in which sleap-nn is installed.",
        "SLEAP_RTC_TRAINER_PYTHON",
        default_text="the worker's own",
    ),
    Setting("keep_results", Kind.NUMBER, "Days that models nobody fetched are kept.", default=7.0, minimum=0),
    Setting(
        "cache_size_mb",
        Kind.WHOLE,
        "Disk for datasets of earlier jobs, in MiB; 0 keeps none.",
        "SLEAP_RTC_CACHE_SIZE_MB",
        10_240,
        minimum=0,
    ),
    Setting(
        "no_secret", Kind.SWITCH, "Make rooms without a secret, for clients of other makes.", default=False
    ),
    Setting("qr", Kind.SWITCH, "Draw the invite as a QR code, on a terminal.", default=True),
    Setting(
        "max_hours",
        Kind.NUMBER,
        "Hours for one training; 0 for no limit.",
        "SLEAP_RTC_MAX_HOURS",
        168.0,
        minimum=0,
    ),
    Setting(
        "max_dataset_mb",
        Kind.WHOLE,
        "The largest dataset that is taken, in MiB; 0 for no limit.",
        "SLEAP_RTC_MAX_DATASET_MB",
        51_200,
        minimum=0,
    ),
    Setting(
        "max_job_mb",
        Kind.WHOLE,
        "Disk for one job, in MiB; 0 for no limit.",
        "SLEAP_RTC_MAX_JOB_MB",
        102_400,
        minimum=0,
    ),
    Setting(
        "max_memory_mb",
        Kind.WHOLE,
        "Main memory for one training, in MiB; 0 for no limit.",
        "SLEAP_RTC_MAX_MEMORY_MB",
        0,
        minimum=0,
    ),
)
_CLIENT: Final = (
    Setting("out", Kind.PATH, "Where models go.", default="models", parameter="out_dir"),
    Setting(
        "config",
        Kind.PATHS,
        "sleap-nn YAML or SLEAP JSON configurations; one a model, in order.",
        default=(),
        parameter="configs",
    ),
    Setting(
        "model_type",
        Kind.TEXT,
        "What to train.",
        default_text="what suits the labels",
        choices=("base", "centroid", "topdown", "bottomup"),
    ),
    Setting(
        "epochs",
        Kind.WHOLE,
        "Most epochs for each model.",
        default_text="the worker's choice",
        minimum=1,
        maximum=100_000,
    ),
    Setting(
        "batch_size",
        Kind.WHOLE,
        "Frames, or crops, a step.",
        default_text="the worker's choice",
        minimum=1,
        maximum=4096,
    ),
    Setting(
        "learning_rate",
        Kind.NUMBER,
        "Of the optimizer.",
        default_text="the worker's choice",
        minimum=0,
        above=True,
    ),
    Setting("min_gpu_memory_mb", Kind.NUMBER, "GPU memory that a worker must have, in MiB.", minimum=0),
    Setting("tag", Kind.TEXTS, "Tags that a worker must have.", default=(), parameter="tags"),
    Setting(
        "property", Kind.TEXTS, "Conditions on a worker's properties.", default=(), parameter="conditions"
    ),
    Setting("worker", Kind.TEXT, "Ask only this worker.", default_text="all that fit"),
    Setting(
        "select",
        Kind.TEXT,
        "Who of those that accept gets the job.",
        default="fastest",
        choices=("fastest", "soonest", "most-memory"),
        parameter="rule",
    ),
    Setting("response_timeout", Kind.NUMBER, "Seconds to wait for answers.", default=5.0, minimum=0.1),
    Setting(
        "wait",
        Kind.NUMBER,
        "Minutes to wait for a worker that is free.",
        default=0.0,
        minimum=0,
        parameter="wait_minutes",
    ),
    Setting(
        "retries",
        Kind.WHOLE,
        "How often to begin again after a failure that need not come again.",
        default=0,
        minimum=0,
        maximum=100,
    ),
)
_SERVER: Final = (
    Setting("host", Kind.TEXT, "Address to listen on.", "SLEAP_RTC_HOST", "127.0.0.1"),
    Setting(
        "ws_port",
        Kind.WHOLE,
        "WebSocket port; 0 picks a free one.",
        "SLEAP_RTC_WS_PORT",
        8080,
        minimum=0,
        maximum=65535,
    ),
    Setting(
        "http_port",
        Kind.WHOLE,
        "HTTP port; 0 picks a free one.",
        "SLEAP_RTC_HTTP_PORT",
        8001,
        minimum=0,
        maximum=65535,
    ),
    Setting(
        "state_dir",
        Kind.PATH,
        "Folder for the signing key and the rooms.",
        "SLEAP_RTC_STATE_DIR",
        default_text="sleap-rtc/server in the user's state folder",
    ),
    Setting(
        "room_ttl",
        Kind.NUMBER,
        "Life of a room from its creation or renewal, in seconds.",
        "SLEAP_RTC_ROOM_TTL",
        7200.0,
        minimum=0,
        maximum=366 * 24 * 60 * 60.0,
        above=True,
    ),
    Setting(
        "ice_server",
        Kind.TEXTS,
        "STUN and TURN servers for all peers.",
        "SLEAP_RTC_ICE_SERVER",
        (),
        secret=True,
        parameter="ice_servers",
    ),
    Setting("tls_cert", Kind.PATH, "Certificate and its chain (PEM).", "SLEAP_RTC_TLS_CERT"),
    Setting("tls_key", Kind.PATH, "The certificate's key (PEM).", "SLEAP_RTC_TLS_KEY"),
    Setting(
        "trusted_proxy",
        Kind.TEXTS,
        "Proxies whose X-Forwarded-For is believed.",
        "SLEAP_RTC_TRUSTED_PROXY",
        (),
        parameter="trusted_proxies",
    ),
    *_LOG,
)


def _by_name(*settings: Setting) -> dict[str, Setting]:
    return {setting.name: setting for setting in settings}


SETTINGS: Final[Mapping[str, Mapping[str, Setting]]] = {
    SHARED: _by_name(*_SHARED),
    "worker": _by_name(*_WORKER),
    "client": _by_name(*_CLIENT),
    "server": _by_name(*_SERVER),
}
"""Settings by name, below the section to which they belong."""


def allowed_in(section: str) -> dict[str, Setting]:
    """What may stand in a section of a file: worker and client can say there what they share, too."""
    shared = {} if section in ("server", SHARED) else SETTINGS[SHARED]
    return {**shared, **SETTINGS[section]}


def name_of(key: str) -> str:
    """The name that a key in a file stands for."""
    return key.replace("-", "_")
