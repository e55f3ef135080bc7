"""Stands in for the runner and misbehaves as its task's batch size says: a fault fixture."""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

EVENTS = int(sys.argv[1])


def tell(event: str, **fields: object) -> None:
    os.write(EVENTS, json.dumps({"event": event, **fields}).encode() + b"\n")


def leave_predictions() -> None:
    from tests.support.lab import make_labels

    make_labels(Path("predictions.slp"), video="a.mp4")


def done(frame_count: int = 5) -> None:
    tell("done", frame_count=frame_count, duration_sec=2.5, device="cpu")


task = json.loads(sys.stdin.readline())
if task["command"] == "probe":
    tell("installed", versions={"sleap-nn": "0.3.5", "torch": "2.0"})
    tell("device", device="cpu")
    sys.exit()

Path("task.json").write_text(json.dumps(task))
behaviour = task["batch_size"]
if behaviour == 1:  # all is well
    tell("stage", stage="predicting", message="Predicting 5 frames on cpu")
    tell("frames", frames_done=5, total_frames=5, frames_per_sec=10.0, device="cpu")
    leave_predictions()
    done()
elif behaviour == 2:
    done()
elif behaviour == 3:
    Path("predictions.slp").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    done()
elif behaviour == 4:
    leave_predictions()
    done(50)
elif behaviour == 5:
    leave_predictions()
elif behaviour == 6:
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == 7:
    tell("failed", code="OUT_OF_MEMORY", message="Prediction ran out of memory.")
elif behaviour == 8:
    tell("failed", code="INVALID_MODEL", message="The checkpoint of the centroid model isn't loaded: no.")
elif behaviour == 9:
    assert sys.stdin.readline() == "stop\n"
    leave_predictions()
    done()
elif behaviour == 10:
    leave_predictions()
    Path(f"predictions.{task['format']}").write_bytes(b"converted")
    done()
