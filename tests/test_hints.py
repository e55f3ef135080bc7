"""Every command that the programs or the documents name is one that there is, with options that it has."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from sleaprtc.cli import PROGRAMS, main

from .support.sources import DOCUMENTS, PACKAGE, ROOT, VARIABLE, texts_of

_COMMAND = re.compile(rf"sleap-rtc ((?:{'|'.join(PROGRAMS)})\b[^`\n|;]*)")


def commands_in(text):
    # a command may go over the end of a line
    for found in _COMMAND.finditer(re.sub(r" *\\?\n +", " ", text) if "`" in text else text):
        yield found.group(1)


def in_document(path):
    text = path.read_text()
    for code in re.findall(r"`(sleap-rtc [^`]+)`", text):
        yield from commands_in(code.replace("\n", " "))
    for line in re.findall(r"(?m)^(?:    |\$ )(.*sleap-rtc .*)$", text):
        yield from commands_in(line)


def hints():
    for path in PACKAGE.rglob("*.py"):
        for text in texts_of(path):
            yield from ((path.relative_to(ROOT), hint) for hint in commands_in(text))
    for path in DOCUMENTS:
        yield from ((path.relative_to(ROOT), hint) for hint in in_document(path))


HINTS = sorted(set(hints()))
END = ("&&", "||", ">", ">>", "\\")
"""Words that end a command."""


def words_of(hint):
    try:
        words = shlex.split(hint, comments=True)
    except ValueError:  # an apostrophe of the sentence around it
        words = hint.split()
    for word in words:
        if word in END:
            return
        yield word.rstrip(",.:)\"'").lstrip("(")


def options_of(command):
    named = [option for parameter in command.params for option in parameter.opts + parameter.secondary_opts]
    return {*named, "--help", "-h"}


def fault_of(hint):
    command, path, at_options = main, [], False
    for word in words_of(hint):
        if word.startswith("-") and word != "-":
            at_options = True
            name = word.partition("=")[0]
            if name not in options_of(command):
                return f"{' '.join(path)} has no option {name}"
        elif isinstance(command, click.Group) and not at_options:
            if VARIABLE in word:
                return None  # which of them is decided when it's printed
            command = command.get_command(click.Context(command), word)
            if command is None:
                return f"{' '.join(path)} has no command {word}"
            path.append(word)
    return None


@pytest.mark.parametrize(("path", "hint"), HINTS, ids=[f"{path}: {hint[:60]}" for path, hint in HINTS])
def test_what_is_named_is_there(path, hint):
    assert fault_of(hint) is None


def test_there_is_something_to_look_at():
    assert len(HINTS) > 30
    assert fault_of("client trian") == "client has no command trian"
    assert fault_of("client train a.slp --epoch 3") == "client train has no option --epoch"
