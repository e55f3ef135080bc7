"""The commands that install this package again name a distribution, an extra and a place that there are."""

from __future__ import annotations

import configparser
import re
import shlex
import sys
from pathlib import Path

import pytest

from sleaprtc.base.distribution import NAME, install_command, requirement_from

from .support.sources import DOCUMENTS, PACKAGE, texts_of

ROOT = Path(__file__).parents[1]
WHEEL = "https://example.org/sleap_rooms-0.1.0-py3-none-any.whl"
REPOSITORY = "https://example.org/sleap-rtc.git"

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def test_it_is_the_distribution_of_setup_cfg():
    assert SETUP["metadata"]["name"] == NAME


def written_texts():
    for path in PACKAGE.rglob("*.py"):
        yield from ((path.relative_to(ROOT), text) for text in texts_of(path))
    yield from ((path.relative_to(ROOT), path.read_text()) for path in DOCUMENTS)


def test_nothing_names_the_other_project_s_distribution():
    for path, text in written_texts():
        assert "sleap-rtc[" not in text, path
        assert not re.search(r"pip install[^`\n&]* '?sleap-?rtc\b", text), path


def test_every_extra_that_is_named_is_there():
    named = {
        (path, extra)
        for path, text in written_texts()
        for extra in re.findall(rf"(?:{NAME}|'\.)\[(\w+)\]", text)
    }
    named |= {
        (path.relative_to(ROOT), extra)
        for path in PACKAGE.rglob("*.py")
        for extra in re.findall(r"install_command\(\s*[\"'](\w+)", path.read_text())
    }
    assert {extra for _, extra in named} == {"fast", "train"}
    assert {extra for _, extra in named} <= set(SETUP["options.extras_require"])


def test_markers_ask_for_no_kernel_s_name():
    assert "platform_release" not in re.sub(r"(?m)^\s*#.*$", "", (ROOT / "setup.cfg").read_text())


@pytest.mark.parametrize(
    ("origin", "arguments"),
    [
        (None, [f"{NAME}[fast]"]),
        ({}, [f"{NAME}[fast]"]),
        ({"url": ROOT.as_uri(), "dir_info": {}}, [f"{ROOT}[fast]"]),
        ({"url": ROOT.as_uri(), "dir_info": {"editable": True}}, ["--editable", f"{ROOT}[fast]"]),
        ({"url": "file:///gone/sleap_rooms-0.1.0-py3-none-any.whl"}, [f"{NAME}[fast]"]),
        ({"url": WHEEL, "archive_info": {}}, [f"{NAME}[fast] @ {WHEEL}"]),
        (
            {"url": REPOSITORY, "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": "12"}},
            [f"{NAME}[fast] @ git+{REPOSITORY}@main"],
        ),
        (
            {"url": REPOSITORY, "vcs_info": {"vcs": "git", "commit_id": "12"}, "subdirectory": "a"},
            [f"{NAME}[fast] @ git+{REPOSITORY}@12#subdirectory=a"],
        ),
    ],
)
def test_it_comes_from_where_it_came_before(origin, arguments):
    assert requirement_from(origin, "fast") == arguments


def test_a_path_with_a_blank_is_one_word(tmp_path):
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    assert requirement_from({"url": checkout.as_uri()}, None) == [str(checkout)]


def test_the_command_is_this_python_s():
    words = shlex.split(install_command("fast", "--upgrade"))
    assert words[:5] == [sys.executable, "-m", "pip", "install", "--upgrade"]
    assert words[-1].endswith("[fast]")
