"""``python -m tests.fuzz``: looks for inputs that break a promise, guided by what they reach.

Needs atheris (``pip install atheris``), libFuzzer for Python. What breaks a promise, and with ``--keep`` also
what reaches something new, is added to ``tests/fuzz/corpus``, which the default tests replay.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from . import corpus

NAMES: Final = (
    "codec",
    "messages",
    "framing",
    "websocket",
    "worker",
    "archives",
    "server_answers",
    "answer_documents",
)
MAX_INPUT_BYTES: Final = {"archives": 16 * 1024}
DEFAULT_MAX_INPUT_BYTES: Final = 2048


def _fuzz_here(name: str, arguments: list[str]) -> None:
    """Runs libFuzzer in this process, which it ends."""
    import atheris

    with atheris.instrument_imports(include=["sleaprtc", "wsproto", "yaml"]):
        from tests.fuzz.targets import TARGETS, WORDS
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        dictionary.writelines(f'"\\"{word}\\""\n' for word in WORDS)
        dictionary.flush()
        max_bytes = MAX_INPUT_BYTES.get(name, DEFAULT_MAX_INPUT_BYTES)
        options = [f"-dict={dictionary.name}", f"-max_len={max_bytes}", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, *arguments], TARGETS[name])
        atheris.Fuzz()


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--seconds", default=30.0, show_default=True, help="For all targets together.")
@click.option("--keep", is_flag=True, help="Add to the corpus what reached something new.")
def main(names: tuple[str, ...], seconds: float, keep: bool) -> None:
    """Fuzz NAMES, or everything."""
    if importlib.util.find_spec("atheris") is None:
        raise click.UsageError("atheris isn't installed: `pip install atheris`")
    chosen = names or NAMES
    per_target = max(1, round(seconds / len(chosen)))
    failed = [name for name in chosen if not _fuzz(name, per_target, keep)]
    for name in failed:
        click.echo(f"{name}: broke a promise; `pytest tests/fuzz` shows which.")
    raise SystemExit(bool(failed))


def _fuzz(name: str, seconds: int, keep: bool) -> bool:
    """Fuzzes one target in a process of its own; what breaks a promise is kept in any case."""
    with tempfile.TemporaryDirectory() as folder:
        found, crashes = Path(folder, "found"), Path(folder, "crashes")
        found.mkdir()
        crashes.mkdir()
        for number, data in enumerate(corpus.load(name)):
            (found / f"kept-{number}").write_bytes(data)
        command = [sys.executable, "-m", "tests.fuzz", "--here", name, str(found)]
        command += [f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/", "-reduce_inputs=1"]
        is_sound = subprocess.run(command, check=False).returncode == 0
        new = [path.read_bytes() for path in (found if keep else crashes).iterdir()]
        corpus.save(name, [*corpus.load(name), *new, *(path.read_bytes() for path in crashes.iterdir())])
    return is_sound


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        _fuzz_here(sys.argv[2], sys.argv[3:])
    else:
        main()
