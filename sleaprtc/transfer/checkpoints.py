"""Checkpoints from the other side, looked at before anybody loads them.

A PyTorch checkpoint holds a pickle, and a pickle can run any code when it is loaded with
``torch.load(weights_only=False)``, as training frameworks do. Without torch, which few clients have, what a
pickle would import can still be read from its opcodes (:mod:`pickletools`), without running it.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..protocol.limits import MIB

CHECKPOINT_SUFFIXES: Final = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
MAX_PICKLE_BYTES: Final = 64 * MIB
"""Of a checkpoint's structure, without its weights; those of sleap-nn have some 50 KiB."""

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
_TORCH_NUMBERS: Final = ("bfloat16", "bool", "complex", "float", "half", "int", "uint")
_HIDDEN_IMPORTS: Final = frozenset({"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
"""Opcodes whose import can't be read off them alone; torch.save writes none of them."""


def unsafe_imports(path: Path) -> list[str]:
    """Names what a checkpoint would import beyond the parts of tensors; nothing for what is no pickle."""
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
        return []
    try:
        return sorted(
            {name for pickle in _pickles(path) for name in _imports(pickle) if not _is_harmless(name)}
        )
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return []  # what can't be read as an archive can't be loaded as one


def _pickles(path: Path) -> Iterator[bytes]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield file.read(MAX_PICKLE_BYTES)
        return
    with zipfile.ZipFile(path) as checkpoint:
        for member in checkpoint.infolist():
            if member.filename.endswith(".pkl"):
                with checkpoint.open(member) as file:
                    yield file.read(MAX_PICKLE_BYTES)


def _imports(pickle: bytes) -> Iterator[str]:
    """Reads opcodes as far as they are some: what comes before a fault would still be run."""
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "GLOBAL":
                yield str(argument)
            elif opcode.name in _HIDDEN_IMPORTS:
                yield str(argument or opcode.name)
    except Exception:
        return


def _is_harmless(name: str) -> bool:
    if name in _TENSOR_PARTS:
        return True
    module, _, attribute = name.partition(" ")
    if module in ("builtins", "__builtin__"):
        return attribute in _BUILTINS
    if module in ("torch", "torch.storage"):
        return attribute.endswith("Storage") or attribute.startswith(_TORCH_NUMBERS)
    return False
