"""The files of a training's report, as a worker writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import google_crc32c

METRICS = {
    "version": 1,
    "splits": {
        "train": {"distance_px": {"mean": 0.5}},
        "val": {
            "distance_px": {"mean": 1.5, "p50": 1.25, "p95": 4.0},
            "oks": {"map": 0.75},
            "pck": {"mean": 0.5},
            "visibility": {"precision": 1.0, "recall": 0.9},
        },
    },
    "validation": {"source": "held_out", "frames": 6, "train_frames": 54},
    "settings": {
        "configuration": "c.yaml",
        "changed": [{"key": "trainer_config.save_ckpt", "asked": False, "used": True, "given": True}],
        "chosen": [{"key": "data_config.preprocessing.scale", "used": 0.5}],
    },
    "problems": ["There is no picture of predictions (there are none)."],
}
LOSSES = "epoch,train_loss,val_loss\n1,0.5,0.6\n2,0.25,0.375\n3,0.125,0.5\n"


def scalars_in(folder: Path) -> list[tuple[str, int, float]]:
    """Reads an event file: records with masked CRC-32C, each a protobuf message.

    https://www.tensorflow.org/tutorials/load_data/tfrecord tells of the framing.
    """
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.glob("events.out.tfevents.*")
    data, scalars = path.read_bytes(), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12]) == (masked_crc(data[:8]),)
        record, crc, data = data[12 : 12 + size], data[12 + size : 16 + size], data[16 + size :]
        assert struct.unpack("<I", crc) == (masked_crc(record),)
        event = Event.FromString(record)
        scalars += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return scalars


def masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
