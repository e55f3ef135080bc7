"""Small SLEAP datasets written with h5py alone, as far as the worker reads them."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

POINT = np.dtype([("x", "<f8"), ("y", "<f8"), ("visible", "?"), ("complete", "?")])
INSTANCE = np.dtype(
    [
        ("instance_id", "<i8"),
        ("instance_type", "u1"),
        ("frame_id", "<u8"),
        ("skeleton", "<u4"),
        ("point_id_start", "<u8"),
        ("point_id_end", "<u8"),
    ]
)
EDGE_TYPE = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
SYMMETRY_TYPE = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [2]}]}
EMBEDDED: dict[str, Any] = {"backend": {"filename": ".", "dataset": "video0/video", "shape": [3, 96, 128, 1]}}


def write_slp(
    path: Path,
    *,
    animals_per_frame: tuple[int, ...] = (1, 1, 1),
    animal_px: float = 30.0,
    instance_type: int = 0,
    visible: bool = True,
    videos: tuple[dict[str, Any], ...] = (EMBEDDED,),
    links: tuple[dict[str, Any], ...] = ({"source": 0, "target": 1, "type": EDGE_TYPE},),
    skeletons: int = 1,
) -> Path:
    """Writes a dataset of animals with the nodes head and tail."""
    instances, points = [], []
    for frame, count in enumerate(animals_per_frame):
        for _ in range(count):
            start = len(points)
            points += [(10.0, 20.0, visible, True), (10.0 + animal_px, 25.0, visible, True)]
            instances.append((len(instances), instance_type, frame, 0, start, start + 2))
    skeleton = {"nodes": [{"id": 0}, {"id": 1}], "links": list(links)}
    metadata = {"nodes": [{"name": "head"}, {"name": "tail"}], "skeletons": [skeleton] * skeletons}
    with h5py.File(path, "w") as file:
        file.create_group("metadata").attrs["json"] = np.bytes_(json.dumps(metadata))
        file["instances"] = np.array(instances, dtype=INSTANCE)
        file["points"] = np.array(points, dtype=POINT)
        file["videos_json"] = np.array([json.dumps(video).encode() for video in videos], dtype="S4000")
        images = file.create_dataset("video0/video", data=np.zeros((3, 16), dtype="i1"))
        images.attrs.update(format="png", height=96, width=128, channels=1)
    return path
