"""The architecture's import rule, held over every module of the package.

Each module imports only from layers above its own in ``LAYERS``, and from its own group.
"""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support.layers import MODULES, PURE, part_of

SUBJECT_LINES = 500
"""The most lines that one subject has needed so far."""

# From top to bottom: layers; in each, groups that don't see each other; in each, the rooms of the package.
LAYERS = [
    [{"errors", "_version"}],
    [{"base"}],
    [{"protocol"}],
    [{"formats"}],
    [{"rooms"}, {"jobs"}, {"transfer.framing"}, {"config"}],
    [{"server", "identity", "storage"}, {"signaling", "rtc", "transfer"}],
    [{"access"}],
    [{"commandline"}],
    [{"worker"}, {"client"}],
    [{"doctor"}, {"programs"}],
    [{"__main__", "cli", "demo", "__init__"}],
]
# Inside a room too, each door sees only those before it.
DOORS = {
    "access": [
        "invite",
        "joined_room",
        "made_rooms",
        "kept_room",
        "address",
        "renewal",
        "place",
        "choice",
        "environment",
    ],
    "client": [
        "events",
        "results",
        "inputs",
        "records",
        "inbox",
        "room",
        "blocking",
        "jobs",
        "display",
        "actions",
        "commands",
    ],
    "client.jobs": ["order", "follower", "inquiries", "submission", "train", "track", "several", "attach"],
    "worker": [
        "trainer",
        "machine",
        "sleap_nn",
        "journal",
        "jobs",
        "agent",
        "invitation",
        "limit",
        "program",
    ],
    "worker.sleap_nn": ["intake", "plan", "inputs", "process", "runner", "salvage", "trainer"],
}
MOST_DOORS = 12
# Rooms with inner modules: others import only these.
FRONT = {
    "worker.jobs": {"cache", "disk", "job", "messages", "pending", "roster", "settings", "slot", "slots"},
}
CLICK = ("commandline", "programs", "client.commands", "doctor.display", "cli")
"""With every ``__main__``, the command line: nothing else knows what it is parsed by."""

IMPURE_MODULES = {
    "asyncio",
    "h5py",
    "httpx",
    "io",
    "pathlib",
    "random",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "trio",
}
WEBRTC_MODULES = {"asyncio", "trio_asyncio", "aiortc", "aioice", "wrtc", "webrtc"}
NEVER_IMPORTED_BY_SERVER = {"jobs", "rtc", "transfer", "transfer.framing"}


def place_of(part: str) -> tuple[int, int]:
    """Layer and group, both counted from 0."""
    for layer, groups in enumerate(LAYERS):
        for number, group in enumerate(groups):
            if part in group:
                return layer, number
    raise AssertionError(f"sleaprtc.{part} has no place in LAYERS")


def absolute(module: str, node: ast.ImportFrom) -> str:
    """The dotted name that ``from X import`` speaks of."""
    if not node.level:
        return node.module or ""
    package = ["sleaprtc", *module.split(".")][: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


@functools.cache
def imports(module: str) -> tuple[str, ...]:
    """Returns the dotted names that a module imports, wherever in it the statement stands."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix("sleaprtc.")
                is_module = inner in MODULES or f"{inner}.__init__" in MODULES
                yield f"{base}.{alias.name}" if base.split(".")[0] == "sleaprtc" and is_module else base


def internal_imports(module: str) -> Iterator[str]:
    """Yields the package's own modules that a module imports, without the leading ``sleaprtc.``."""
    for name in imports(module):
        if name.split(".")[0] == "sleaprtc":
            yield name.removeprefix("sleaprtc").lstrip(".") or "__init__"


def test_there_is_something_to_look_at() -> None:
    assert "protocol.codec" in MODULES
    assert "errors" in set(internal_imports("protocol.codec"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_layers_above(module: str) -> None:
    layer, group = place_of(part_of(module))
    for target in internal_imports(module):
        target_layer, target_group = place_of(part_of(target))
        allowed = target_layer < layer or (target_layer, target_group) == (layer, group)
        assert allowed, f"sleaprtc.{module} may not import sleaprtc.{target}"


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name) in PURE])
def test_decisions_do_no_io_and_read_no_clock(module: str) -> None:
    reached = {name.split(".")[0] for name in imports(module)} & IMPURE_MODULES
    assert not reached, f"sleaprtc.{module} is to be pure and imports {reached}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("server.")])
def test_the_server_knows_nothing_of_what_it_routes(module: str) -> None:
    reached = {part_of(target) for target in internal_imports(module)} & NEVER_IMPORTED_BY_SERVER
    assert not reached, f"sleaprtc.{module} imports {reached}"


def test_only_the_bridge_knows_asyncio_and_webrtc() -> None:
    users = {
        module
        for module in MODULES
        for name in imports(module)
        if name.split(".")[0] in WEBRTC_MODULES
    }  # fmt: skip
    beyond = {module for module in users if module != "rtc._bridge" and not module.startswith("rtc.engines.")}
    assert not beyond


def test_only_the_codec_knows_cattrs() -> None:
    assert {module for module in MODULES if "cattrs" in {n.split(".")[0] for n in imports(module)}} == {
        "protocol.codec"
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_one_subject(module: str) -> None:
    line_count = len(MODULES[module].read_text().splitlines())
    assert line_count <= SUBJECT_LINES, f"{line_count} lines are more than one subject needs"


@pytest.mark.parametrize("room", DOORS)
def test_doors_stand_in_order(room: str) -> None:
    """So that there are no circles: whoever reads them in order knows what comes next."""
    doors = DOORS[room]
    inside = [module.removeprefix(f"{room}.") for module in MODULES if module.startswith(f"{room}.")]
    assert {name.split(".")[0] for name in inside} - {"__init__", "__main__"} == set(doors)
    assert len(doors) <= MOST_DOORS
    for name in inside:
        own = name.split(".")[0]
        for target in internal_imports(f"{room}.{name}"):
            if own in doors and target.startswith(f"{room}."):
                other = target.removeprefix(f"{room}.").split(".")[0]
                if other in doors:
                    message = f"sleaprtc.{room}.{name} may not import sleaprtc.{target}"
                    assert doors.index(other) <= doors.index(own), message


@pytest.mark.parametrize("room", FRONT)
def test_others_see_only_the_front_of_a_room(room: str) -> None:
    seen = {
        target.removeprefix(f"{room}.")
        for module in MODULES
        if not module.startswith(f"{room}.")
        for target in internal_imports(module)
        if target.startswith(f"{room}.")
    }
    assert seen == FRONT[room]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither between rooms nor within one, and not by imports inside of functions."""
    graph = {
        module: {
            name
            for target in internal_imports(module)
            for name in (target, f"{target}.__init__")
            if name in MODULES and name != module
        }
        for module in MODULES
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises with the circle, if there is one
    assert set(order) == set(MODULES)


def test_only_the_command_line_knows_click() -> None:
    users = {module for module in MODULES if "click" in {name.split(".")[0] for name in imports(module)}}
    beyond = {
        module
        for module in users
        if module.split(".")[-1] != "__main__"
        and not any(module == part or module.startswith(f"{part}.") for part in CLICK)
    }
    assert not beyond
    page = " ".join((TESTS_DIR.parent / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    paths = [part.replace(".", "/") + (".py" if part in MODULES else "/") for part in CLICK]
    listed = ", ".join(f"`{path}`" for path in paths)
    assert f"Only the command line ({listed}, `__main__` modules) imports click." in page


TESTS_DIR = Path(__file__).parent


def modules_imported_by_a_test(path: Path) -> Iterator[str]:
    """Yields each name that a test file imports, dotted, without the leading dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}".lstrip(".") for alias in node.names)


def test_no_test_imports_a_test_module() -> None:
    """What two of them need lies in ``tests/support``, beside them, or in a fixture."""
    names = {path.stem for path in TESTS_DIR.rglob("test_*.py")}
    borrowed = [
        f"{path.relative_to(TESTS_DIR)} imports {name}"
        for path in sorted(TESTS_DIR.rglob("*.py"))
        for name in modules_imported_by_a_test(path)
        if names.intersection(name.split("."))
    ]
    assert borrowed == []
