"""``python -m tests.fuzz.mutants FOLDER``: changes real files at random and has every reader read them.

Each file's mutants are read in a process of their own, within limits of time and memory: what crashes it, or
holds it up, is named by its file and number, by which ``--only`` makes the same mutant again. HDF5 itself can
crash or go round in circles over a mutant; worker and client read in processes of their own, which end then.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from .archives import READERS, read_within_bounds

MEMORY_BYTES: Final = 6 * 2**30
CPU_SEC: Final = 120
MAX_FILE_BYTES: Final = 64 * 2**20
SUFFIXES: Final = {Path(name).suffix for name, _ in READERS} - {""}


def mutant(content: bytes, number: int) -> bytes:
    """Changes a file in a few places, mostly where formats have their structure."""
    chance = random.Random(number)
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        size = len(changed)
        if not size:
            break
        spans = (size, min(size, 4096), min(size, 100_000))
        at = chance.randrange(chance.choice(spans))
        at = size - 1 - at if chance.random() < 0.3 else at
        kind = chance.randrange(7)
        if kind < 3:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 3:
            changed[at : at + 4] = chance.choice(
                (b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", chance.randbytes(4))
            )
        elif kind == 4:
            other = chance.randrange(size)
            length = chance.randrange(1, 512)
            changed[at : at + length] = changed[other : other + length]
        elif kind == 5:
            del changed[at : at + chance.randrange(1, 64)]
        elif chance.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def _read_mutants(path: Path, numbers: Iterator[int]) -> None:
    """In a child: says each mutant's number before it's read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SEC, CPU_SEC))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    content = path.read_bytes()
    readers = [(name, read) for name, read in READERS if Path(name).suffix == path.suffix]
    for number in numbers:
        print(number, flush=True)
        for name, read in readers:
            read_within_bounds(name, read, mutant(content, number))


def _hunt(path: Path, count: int) -> Iterator[str]:
    """Reads a file's mutants; yields a line for each that broke a promise."""
    first = 0
    while first < count:
        command = [sys.executable, "-m", __spec__.name, str(path), "--only", f"{first}-{count}"]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            ended = subprocess.run(command, stdout=output, stderr=errors, check=False).returncode
            output.seek(0)
            errors.seek(0)
            last = int((output.read().split() or [str(first)])[-1])
            said = (errors.read().strip().splitlines() or [""])[-1]
        if ended == 0:
            return
        yield f"{path} --only {last}-{last + 1}: {ended} {said[:300]}"
        first = last + 1


@click.command()
@click.argument("place", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=200, show_default=True, help="Mutants of each file.")
@click.option("--only", default=None, help="FIRST-BEYOND: these mutants of one file, read in this process.")
def main(place: Path, count: int, only: str | None) -> None:
    """Changes the files in PLACE, or one file."""
    if only is not None:
        _read_mutants(place, iter(range(*map(int, only.split("-")))))
        return
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    chosen = [path for path in files if path.suffix in SUFFIXES and path.stat().st_size <= MAX_FILE_BYTES]
    found = 0
    for path in chosen:
        for line in _hunt(path, count):
            click.echo(line)
            found += 1
    click.echo(f"{len(chosen)} files, {len(chosen) * count} mutants, {found} broke a promise.")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
