"""Zip and HDF5 files that break a reader in some way, made from valid ones."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

DIRECTORY_ENTRY = b"PK\x01\x02"
LOCAL_HEADER = b"PK\x03\x04"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Returns a valid zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def with_field(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Overwrites a field in every header of a kind."""
    changed = bytearray(content)
    at = content.find(signature)
    while at >= 0:
        changed[at + offset : at + offset + len(value)] = value
        at = content.find(signature, at + 1)
    return bytes(changed)


def broken_zips(members: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yields a description and the bytes of each file, made from a valid file's ``members``.

    The largest member must be compressible.
    """
    sound = zipped(members)
    first = next(iter(members))
    data_at = 30 + len(first.encode())
    compressed = struct.unpack_from("<I", sound, 18)[0]
    yield "nothing", b""
    yield "a cut end", sound[: len(sound) // 2]
    yield "a cut directory", sound[:-30]
    yield (
        "compressed data that aren't",
        sound[:data_at] + b"\xff" * compressed + sound[data_at + compressed :],
    )
    yield (
        "compressed data that end early",
        sound[:data_at] + bytes(compressed) + sound[data_at + compressed :],
    )
    yield "wrong checksums", with_field(sound, DIRECTORY_ENTRY, 16, b"\x01\x02\x03\x04")
    yield "a local header elsewhere", with_field(sound, DIRECTORY_ENTRY, 42, b"\x03\x00\x00\x00")
    yield "a negative place", with_field(sound, b"PK\x05\x06", 16, b"\xff\xff\xff\x7f")
    yield "other local names", with_field(sound, LOCAL_HEADER, 30, b"?")
    yield "a directory that claims to be larger", with_field(sound, b"PK\x05\x06", 12, b"\xff\xff\xff\x0f")
    yield "encrypted members", with_field(sound, DIRECTORY_ENTRY, 8, b"\x01\x00")
    for name, number in (("deflate64", 9), ("bzip2", 12), ("lzma", 14), ("zstd", 93), ("none", 4711)):
        changed = with_field(sound, DIRECTORY_ENTRY, 10, number.to_bytes(2, "little"))
        yield f"{name} claimed", with_field(changed, LOCAL_HEADER, 8, number.to_bytes(2, "little"))
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        whole = zipped(members, method)
        yield f"broken {name}", whole[: data_at + 4] + b"\x5d" * 20 + whole[data_at + 24 :]
    yield "members that claim gigabytes", with_field(sound, DIRECTORY_ENTRY, 24, b"\xff\xff\xff\x7f")
    yield "members that claim less", with_field(sound, DIRECTORY_ENTRY, 24, b"\x01\x00\x00\x00")
    yield "members that overlap", with_field(sound, DIRECTORY_ENTRY, 20, (2**20).to_bytes(4, "little"))
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 7)
    yield "64-bit records on seven disks", sound[:-22] + locator + sound[-22:]
    yield "64-bit records that are nowhere", sound[:-22] + locator[:-4] + b"\x01\0\0\0" + sound[-22:]
    yield "a bomb", zipped({**members, first: bytes(40_000_000)})
    yield (
        "names that aren't UTF-8",
        with_field(with_field(sound, DIRECTORY_ENTRY, 8, b"\x00\x08"), DIRECTORY_ENTRY, 46, b"\xff"),
    )
    yield "extra fields that lie", with_field(sound, DIRECTORY_ENTRY, 30, b"\x09\x00")
    for bad in ("../x.slp", "/etc/x.slp", "a/../../x.slp", "C:x.slp", "n" * 300):
        yield f"the name {bad[:20]!a}", zipped({**members, bad: b"x"})
    yield "a name that ends early", zipped({**members, "x\x01.slp": b"x"}).replace(b"x\x01.slp", b"x\x00.slp")
    yield "a file that is a folder", zipped({**members, f"{first}/x": b"x"})
    yield "names that some disks confuse", zipped({**members, first.upper(): b"x"})
    linked = io.BytesIO(sound)
    with zipfile.ZipFile(linked, "a") as archive:
        link = zipfile.ZipInfo("link.slp")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    yield "a link", linked.getvalue()


def broken_hdf5(path: Path) -> Iterator[str]:
    """Breaks a valid SLEAP dataset at ``path``, each time in another way, and yields a description."""
    sound = path.read_bytes()
    for name, change in _CHANGES.items():
        path.write_bytes(sound)
        with h5py.File(path, "r+", libver="latest") as file:
            change(file)
        yield name
    for name, at in (("a cut end", 0.5), ("a cut beginning", 0.02)):
        path.write_bytes(sound[: int(len(sound) * at)])
        yield name
    path.write_bytes(sound.replace(b"HEAP", b"HEEP"))
    yield "no heap"
    path.write_bytes(sound.replace(b"TREE", b"TRUE"))
    yield "no tree"


def _replace_table(name, **settings):
    def change(file):
        dtype = file[name].dtype
        del file[name]
        file.create_dataset(name, dtype=dtype, **settings)

    return change


def _replace_attribute(name, value, **settings):
    def change(file):
        del file["metadata"].attrs[name]
        file["metadata"].attrs.create(name, value, **settings)

    return change


def _replace_videos(**settings):
    def change(file):
        del file["videos_json"]
        file.create_dataset("videos_json", **settings)

    return change


def _many_long_texts(file):
    del file["videos_json"]
    file.create_dataset("videos_json", data=["x" * 20_000_000] * 5, dtype=h5py.string_dtype())


def _soft_loop(file):
    del file["videos_json"]
    file["videos_json"] = h5py.SoftLink("/videos_json")


def _external(file):
    del file["points"]
    file["points"] = h5py.ExternalLink("/etc/passwd", "/points")


def _as_group(file):
    del file["points"]
    file.create_group("points/x")


_CHANGES = {
    "49 million points": _replace_table("points", shape=(49_000_000,), chunks=(100_000,), compression="gzip"),
    "49 million points, never written": _replace_table("points", shape=(25_000_000,), chunks=(1000,)),
    "10^18 instances": _replace_table("instances", shape=(10**18,), chunks=(1,)),
    "a block of gigabytes": _replace_table(
        "points", shape=(1,), maxshape=(None,), chunks=(100_000_000,), compression="gzip"
    ),
    "points in two dimensions": _replace_table("points", shape=(3, 3)),
    "points that are a group": _as_group,
    "points elsewhere": _external,
    "videos that link to themselves": _soft_loop,
    "10^9 videos": _replace_videos(shape=(10**9,), dtype="S100", chunks=(1000,)),
    "videos of gigabytes": _replace_videos(shape=(3,), dtype="S2000000000"),
    "videos that aren't UTF-8": _replace_videos(data=np.array([b'{"a": "\xff"}'], dtype="S20")),
    "videos that are numbers": _replace_videos(data=[1, 2, 3]),
    "videos nested deeply": _replace_videos(data=[b"[" * 60_000]),
    "videos of long texts": _many_long_texts,
    "no metadata": lambda file: file.pop("metadata"),
    "metadata with a long number": _replace_attribute("json", '{"skeletons": ' + "9" * 5000 + "}"),
    "metadata that are a list": _replace_attribute("json", ["{}"] * 3),
    "metadata that are no JSON": _replace_attribute("json", "{"),
    "metadata that are numbers": _replace_attribute("json", 5),
    "half a surrogate pair": _replace_attribute(
        "json",
        json.dumps({"nodes": [{"name": "\ud800"}], "skeletons": [{"nodes": [{"id": 0}], "links": []}]}),
    ),
}
