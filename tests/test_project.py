"""What the files around the code promise: one version, one set of Pythons, one matrix, one command."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import sleaprtc
from sleaprtc.cli import PROGRAMS

ROOT = Path(__file__).parents[1]
HEAVY_MODULES = {
    "aiortc",
    "asyncio",
    "h5py",
    "httpx",
    "hypercorn",
    "quart",
    "sleap_io",
    "sleap_nn",
    "structlog",
    "torch",
    "trio",
}


def ini(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / name)
    return parser


@pytest.fixture
def sleap_rtc() -> Path:
    """The installed console script."""
    return Path(sysconfig.get_path("scripts")) / "sleap-rtc"


def test_help_names_every_program(sleap_rtc: Path) -> None:
    shown = subprocess.run(
        [sleap_rtc, "--help"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert {line.split()[0] for line in shown.split("Commands:")[1].splitlines() if line.strip()} == set(
        PROGRAMS
    )


def test_version_is_the_package_s(sleap_rtc: Path) -> None:
    shown = subprocess.run(
        [sleap_rtc, "--version"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert shown.split()[-1] == sleaprtc.__version__


def test_an_unknown_program_is_wrong_usage(sleap_rtc: Path) -> None:
    ended = subprocess.run([sleap_rtc, "bake"], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    assert "bake" in ended.stderr


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, sleaprtc.cli as cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert not HEAVY_MODULES & set(ended.stderr.split())


def test_every_supported_python_has_its_environment() -> None:
    classifiers = re.findall(r"Python :: 3\.(\d+)", ini("setup.cfg")["metadata"]["classifiers"])
    environments = re.split(r"[,\s]+", ini("tox.ini")["tox"]["env_list"].strip())
    assert {f"py3{minor}" for minor in classifiers} == {
        name for name in environments if name.startswith("py")
    }
    assert {"lint", "types", "install", "train"} <= set(environments)


def test_the_workflow_runs_the_same_environments() -> None:
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    in_workflow = set(re.findall(r"env: (\w+)", workflow))
    assert in_workflow == set(re.split(r"[,\s]+", ini("tox.ini")["tox"]["env_list"].strip()))


def test_each_environment_but_the_newest_is_constrained() -> None:
    environments = ini("tox.ini")
    assert environments["testenv"]["constraints"] == "{tox_root}/tests/constraints.txt"
    unconstrained = {
        name for name in environments if environments.get(name, "constraints", fallback="x") == ""
    }
    assert unconstrained == {"testenv:newest", "testenv:constraints"}
    assert "newest" not in environments["tox"]["env_list"]
    assert "tox run -e newest" in (ROOT / ".github/workflows/newest.yml").read_text()


def requirements() -> Iterator[str]:
    setup = ini("setup.cfg")
    listed = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    yield from re.findall(r"(?m)^([\w.-]+)", re.sub(r"(?m)^\s+", "", "\n".join(listed)))


def test_every_requirement_has_its_constraint() -> None:
    """A new one needs `tox -e constraints`."""
    constraints = (ROOT / "tests" / "constraints.txt").read_text()
    constrained = set(re.findall(r"(?m)^([\w.-]+)==", constraints))
    required = {name.lower().replace("_", "-") for name in requirements()}
    assert len(required) > 30
    assert required <= constrained
    for pin in re.findall(r"(?m)^torch.*", (ROOT / "tests" / "torch.txt").read_text()):
        assert pin in constraints


def test_the_default_examples_are_the_same_every_time() -> None:
    same, fresh = (hypothesis.settings.get_profile(name) for name in ("same", "fresh"))
    assert (same.derandomize, same.database) == (True, None)
    assert (fresh.derandomize, fresh.database) == (False, None)
    assert fresh.max_examples > same.max_examples
    environments = ini("tox.ini")
    assert "--hypothesis-profile fresh" in environments["testenv:properties"]["commands"]
    assert "{[testenv:properties]commands}" in environments["testenv:train"]["commands"]
    assert "hypothesis-profile" not in environments["testenv"]["commands"]


def test_steadiness_is_that_of_the_default_tests() -> None:
    environments = ini("tox.ini")
    default = environments["testenv"]["commands"].removesuffix(" {posargs}")
    assert environments["testenv:{py311,py312,py313}-steady"]["commands"].endswith(default)


def test_the_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_fragments_have_names_that_towncrier_knows() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        kinds = {kind["directory"] for kind in tomllib.load(file)["tool"]["towncrier"]["type"]}
    names = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    assert all(re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(kinds)})\.md", name) for name in names), names


def test_fragments_are_one_or_two_sentences() -> None:
    """They are read one after another, by people who want to know what has changed for them."""
    for path in (ROOT / "changes").glob("*.*.md"):
        text = re.sub(r"`[^`]*`", "x", path.read_text().strip())
        assert text.endswith("."), path.name
        assert len(re.findall(r"[.!?](?=\s+[A-Z]|\s+x|$)", text)) <= 2, path.name


def test_links_in_the_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"
