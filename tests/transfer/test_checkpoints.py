"""Finds what a checkpoint would import when it is loaded."""

import os
import pickle
import pickletools
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.transfer.checkpoints import UNREADABLE, _imports, unsafe_imports

HARMLESS = [
    "collections\nOrderedDict",
    "torch\nFloatStorage",
    "torch._utils\n_rebuild_tensor_v2",
    "torch\nfloat32",
    "__builtin__\nset",
]
HARMFUL = [
    "os\nsystem",
    "builtins\neval",
    "torch\nload",
    "torch.hub\nload",
    "subprocess\nPopen",
    # from protocol 4 on, each dot is one attribute further
    "torch\nfloat16.__class__.__base__.__getattribute__",
    "torch.storage\nsys.modules.FloatStorage",
]


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def checkpoint(path, pickled):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("best/data.pkl", pickled)
        archive.writestr("best/data/0", bytes(100))
    return path


def importing(*names):
    return b"\x80\x02" + b"".join(b"c" + name.encode() + b"\n" for name in names) + b"."


def test_weights_are_harmless(tmp_path):
    assert unsafe_imports(checkpoint(tmp_path / "best.ckpt", importing(*HARMLESS))) == []


@pytest.mark.parametrize("name", HARMFUL)
def test_anything_else_is_named(tmp_path, name):
    path = checkpoint(tmp_path / "best.ckpt", importing(*HARMLESS, name))
    assert unsafe_imports(path) == [name.replace("\n", " ")]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_real_pickles_that_run_something(tmp_path, protocol):
    pickled = pickle.dumps({"weights": [1], "evil": Evil()}, protocol)
    assert unsafe_imports(checkpoint(tmp_path / "best.ckpt", pickled))
    (tmp_path / "plain.pth").write_bytes(pickled)
    assert unsafe_imports(tmp_path / "plain.pth")


def test_what_comes_before_a_fault_counts(tmp_path):
    path = checkpoint(tmp_path / "best.ckpt", importing("os\nsystem")[:-1] + b"\xff\xff")
    assert unsafe_imports(path) == ["os system"]


@pytest.mark.parametrize("content", [b"", b"weights", b"weights" * 1000])
def test_what_is_no_checkpoint_is_left_alone(tmp_path, content):
    (tmp_path / "best.ckpt").write_bytes(content)
    assert unsafe_imports(tmp_path / "best.ckpt") == []
    (tmp_path / "notes.txt").write_bytes(pickle.dumps(Evil()))
    assert unsafe_imports(tmp_path / "notes.txt") == []


def flipped(path):
    """Makes the checksum of a pickle wrong, which Python refuses and PyTorch ignores."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04") + 14] ^= 0xFF
    content[content.index(b"PK\x01\x02") + 16] ^= 0xFF
    path.write_bytes(content)


def encrypted(path):
    """Adds a member that Python can't read, beside the one that PyTorch does."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("best/z.pkl", b"")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def prefixed(path):
    """Puts a pickle before the archive: PyTorch decides by the first bytes, Python by the last."""
    path.write_bytes(pickle.dumps(Evil()) + path.read_bytes())


def commented(path):
    """Adds a comment after the archive's end. It may contain another end, which some readers use instead."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(30)


@pytest.mark.parametrize("spoil", [flipped, encrypted, prefixed, commented])
def test_what_python_cannot_read_is_not_called_harmless(tmp_path, spoil):
    path = checkpoint(tmp_path / "best.ckpt", importing(*HARMLESS))
    spoil(path)
    assert unsafe_imports(path) == [UNREADABLE]


@pytest.mark.parametrize(
    "pickled",
    [
        pickle.dumps(1) + pickle.dumps(Evil()),  # several in a row, as PyTorch's older format has them
        b"I0x10\n0" + pickle.dumps(Evil()),  # a number that the C reader takes, and pickletools doesn't
        b"PK\x03\x04 and no more",
    ],
)
def test_bare_pickles_that_cannot_be_followed(tmp_path, pickled):
    (tmp_path / "best.ckpt").write_bytes(pickled)
    assert UNREADABLE in unsafe_imports(tmp_path / "best.ckpt")


def test_a_member_that_python_and_pytorch_call_by_different_names(tmp_path):
    """Python 3.12 and later use an extra field, but PyTorch uses the name itself: ``best/data.pkl``."""
    name, other = b"best/data.pkl", b"best/notes.txt"
    member = zipfile.ZipInfo(name.decode())
    member.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, zlib.crc32(name)) + other
    with zipfile.ZipFile(tmp_path / "best.ckpt", "w") as archive:
        archive.writestr(member, pickle.dumps(Evil(), 2))
    assert unsafe_imports(tmp_path / "best.ckpt")


@given(st.binary())
def test_any_bytes_are_survived(content):
    assert all(isinstance(name, str) for name in _imports(content))


def test_the_opcodes_that_import_are_known():
    """Fails when a new Python adds an opcode that imports and isn't checked."""
    importing_opcodes = {op.name for op in pickletools.opcodes if "import" in (op.doc or "").lower()}
    assert importing_opcodes <= {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "OBJ", "NEWOBJ"}
