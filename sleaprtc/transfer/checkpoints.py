"""Inspects checkpoints from the other side before anybody loads them.

A PyTorch checkpoint contains a pickle, and a pickle can run any code when it is loaded with
``torch.load(weights_only=False)``, as training frameworks do. What a pickle would import can be read from its
opcodes (:mod:`pickletools`) without running it, and without torch, which few clients have.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import InvalidModelError
from ..formats.zip_files import is_zip, open_zip, read_member
from ..protocol.limits import MIB

CHECKPOINT_SUFFIXES: Final = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
MAX_PICKLE_BYTES: Final = 4 * MIB
"""For a checkpoint's structure without its weights. sleap-nn's have about 50 KiB; this much takes seconds."""

_TENSOR_PARTS: Final = frozenset(
    {
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_parameter_with_state",
        "torch.nn.parameter Parameter",
        "torch Size",
        "torch Tensor",
        "torch device",
        "torch.serialization _get_layout",
        "collections Counter",
        "collections OrderedDict",
        "collections defaultdict",
        "numpy dtype",
        "numpy ndarray",
        "numpy.core.multiarray _reconstruct",
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray _reconstruct",
        "numpy._core.multiarray scalar",
        "_codecs encode",
    }
)
"""What ``torch.load(weights_only=True)`` lets a checkpoint import (torch/_weights_only_unpickler.py)."""

_BUILTINS: Final = frozenset(
    {
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "set",
        "str",
        "tuple",
    }
)
UNREADABLE: Final = "something unreadable"

_ARCHIVE_BEGINNING: Final = b"PK\x03\x04"
"""PyTorch tells an archive from a bare pickle by these bytes."""

_ARCHIVE_END: Final = b"PK\x05\x06"
_ARCHIVE_END_BYTES: Final = 22
"""The last record of an archive without a comment (PKWARE's APPNOTE.TXT, section 4.3.16)."""

_TORCH_NUMBERS: Final = ("bfloat16", "bool", "complex", "float", "half", "int", "uint")
_HIDDEN_IMPORTS: Final = frozenset({"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
"""Opcodes that don't contain the name of what they import; torch.save writes none of them."""


def unsafe_imports(path: Path) -> list[str]:
    """Returns what a checkpoint would import besides the parts of tensors; nothing if it holds no pickle.

    :data:`UNREADABLE` stands for content that can't be read to its end: PyTorch has its own readers for
    archives and pickles, which may get further.
    """
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
        return []
    try:
        found = {name for pickle in _pickles(path) for name in _imports(pickle)}
    except Exception:  # zipfile raises more exceptions than it documents
        found = {UNREADABLE}
    return sorted(name for name in found if not _is_harmless(name))


def _pickles(path: Path) -> Iterator[bytes]:
    """Yields the pickles in a file.

    Raises:
        Exception: Of any class, if it's unclear what PyTorch would find.
    """
    with path.open("rb") as file:
        beginning = file.read(MAX_PICKLE_BYTES + 1)
        file.seek(max(0, path.stat().st_size - _ARCHIVE_END_BYTES))
        end = file.read()
    if not is_zip(path) and not beginning.startswith(_ARCHIVE_BEGINNING):
        if beginning:
            yield beginning
        return
    if not (beginning.startswith(_ARCHIVE_BEGINNING) and end.startswith(_ARCHIVE_END)):
        raise zipfile.BadZipFile("What isn't an archive from its first byte to its last may be read as two.")
    left_bytes = MAX_PICKLE_BYTES
    with open_zip(path, InvalidModelError) as checkpoint:
        for member in checkpoint.infolist():
            if member.filename != member.orig_filename:
                # Python 3.12 renames it by an extra field (APPNOTE.TXT, section 4.6.9); PyTorch doesn't.
                raise zipfile.BadZipFile("A member goes by two names.")
            if member.filename.lower().endswith(".pkl"):
                pickle = read_member(checkpoint, member, left_bytes)
                left_bytes -= len(pickle)
                yield pickle


def _imports(pickle: bytes) -> Iterator[str]:
    """Yields what a pickle's opcodes import.

    An unknown opcode ends PyTorch's reading, too, and a file that begins with one isn't a pickle. Anything
    else that stops this function might not stop PyTorch, and yields :data:`UNREADABLE`.
    """
    end = 0
    try:
        for opcode, argument, position in pickletools.genops(pickle):
            if opcode.name == "GLOBAL":
                yield str(argument)
            elif opcode.name in _HIDDEN_IMPORTS:
                yield str(argument or opcode.name)
            end = (position or 0) + 1
    except ValueError as error:
        if not str(error).endswith("unknown"):
            yield UNREADABLE
    except Exception:
        yield UNREADABLE
    else:
        if end != len(pickle):  # PyTorch's older format is several pickles; the last one is the model
            yield UNREADABLE


def _is_harmless(name: str) -> bool:
    if name in _TENSOR_PARTS:
        return True
    module, _, attribute = name.partition(" ")
    if not attribute.isidentifier():
        return False  # since protocol 4, dots reach attributes of attributes, and so anything
    if module in ("builtins", "__builtin__"):
        return attribute in _BUILTINS
    if module in ("torch", "torch.storage"):
        return attribute.endswith("Storage") or attribute.startswith(_TORCH_NUMBERS)
    return False
