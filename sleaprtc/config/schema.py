"""Every setting of every program: its name, its valid values, and its default.

This schema is behind the settings files, ``sleap-rtc config show`` and ``docs/configuration.md``. The command
line's options are declared where they are used; ``tests/config/test_schema.py`` checks that both agree.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

SHARED: Final = "shared"
"""The settings that worker and client share. They come before the sections of a file."""

PROGRAMS: Final = ("worker", "client", "server")
"""The programs that have settings; each has a section of that name."""


class Kind(enum.Enum):
    """A value's type; the text is what sentences call it."""

    TEXT = "a text in quotes"
    PATH = "a path in quotes"
    WHOLE = "a whole number"
    NUMBER = "a number"
    RATE = "a rate in quotes"
    SWITCH = "true or false"
    TEXTS = "a text in quotes or a list of them"
    PATHS = "a path in quotes or a list of them"


MANY: Final = (Kind.TEXTS, Kind.PATHS)
FILES: Final = (Kind.PATH, Kind.PATHS)


@attrs.frozen
class Setting:
    """One setting.

    Attributes:
        name: Its name in files, with ``_``. Files may use ``-`` instead, as the command line does.
        kind: The type of its value.
        meaning: A phrase for a table, with the unit.
        variable: The environment variable that sets it; None if there is none.
        default: The value if nothing sets it.
        default_text: Describes the default if the value itself doesn't.
        minimum: The smallest valid number. If ``above`` is true, a number must be larger.
        maximum: The largest valid number.
        above: Whether ``minimum`` itself is invalid.
        choices: The valid texts; empty if any text is valid.
        secret: Whether its value is never shown.
        parameter: The name of the option's parameter; by default ``name``.
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
        "Lines for people, or JSON; auto is human on a terminal and json elsewhere.",
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
    Setting("token_file", Kind.PATH, "File to read the room's token from."),
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
        "Also use STUN and TURN servers at private addresses that the signaling server names.",
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
    Setting(
        "limit_rate",
        Kind.RATE,
        "The most bytes to send in a second, and to receive, such as 500K or 2M; none for no limit.",
        "SLEAP_RTC_LIMIT_RATE",
        "none",
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
    Setting("threads", Kind.WHOLE, "CPU threads per job.", default_text="all cores but one", minimum=1),
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
    Setting(
        "keep_results", Kind.NUMBER, "Days to keep models that nobody has fetched.", default=7.0, minimum=0
    ),
    Setting(
        "keep_data",
        Kind.NUMBER,
        "Days to keep datasets and models of earlier jobs after their last use; 0 keeps none.",
        default=30.0,
        minimum=0,
    ),
    Setting(
        "cache_size_mb",
        Kind.WHOLE,
        "Disk for datasets of earlier jobs, in MiB; 0 keeps none.",
        "SLEAP_RTC_CACHE_SIZE_MB",
        10_240,
        minimum=0,
    ),
    Setting(
        "no_secret",
        Kind.SWITCH,
        "Make rooms without a secret, for clients that don't know one.",
        default=False,
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
        "The largest dataset to accept, in MiB; 0 for no limit.",
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
        "disk_quota",
        Kind.WHOLE,
        "Disk for everything in the work folder, in MiB; 0 for what the disk has.",
        "SLEAP_RTC_DISK_QUOTA",
        0,
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
        "sleap-nn YAML or SLEAP JSON configurations; one per model, in order.",
        default=(),
        parameter="configs",
    ),
    Setting(
        "val",
        Kind.PATH,
        "Labels to validate on.",
        default_text="a tenth of the frames",
        parameter="validation",
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
        "The most epochs for each model.",
        default_text="the worker's choice",
        minimum=1,
        maximum=100_000,
    ),
    Setting(
        "batch_size",
        Kind.WHOLE,
        "Frames, or crops, per step.",
        default_text="the worker's choice",
        minimum=1,
        maximum=4096,
    ),
    Setting(
        "learning_rate",
        Kind.NUMBER,
        "The optimizer's learning rate.",
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
        "Which of the workers that accept gets the job.",
        default="fastest",
        choices=("fastest", "soonest", "most-memory"),
        parameter="rule",
    ),
    Setting("response_timeout", Kind.NUMBER, "Seconds to wait for answers.", default=5.0, minimum=0.1),
    Setting(
        "wait",
        Kind.NUMBER,
        "Minutes to wait for a free worker.",
        default=0.0,
        minimum=0,
        parameter="wait_minutes",
    ),
    Setting(
        "retries",
        Kind.WHOLE,
        "How often to retry after a failure that may not happen again.",
        default=0,
        minimum=0,
        maximum=100,
    ),
    Setting(
        "ephemeral",
        Kind.SWITCH,
        "Have the worker keep nothing of a job once its result is here.",
        default=False,
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
"""The settings of each section, by name."""


def allowed_in(section: str) -> dict[str, Setting]:
    """Returns the settings that a section of a file may have; worker and client may also have shared ones."""
    shared = {} if section in ("server", SHARED) else SETTINGS[SHARED]
    return {**shared, **SETTINGS[section]}


def name_of(key: str) -> str:
    """Returns the name of the setting that a key in a file stands for."""
    return key.replace("-", "_")
