"""Shows a job on standard output, as `client train` does: a process for tests to look at from outside.

Takes the epochs a model has, and how long to show the last one, in seconds.
"""

import math
import signal
import sys
import time

from sleaprtc.client.display import live_area, open_display
from sleaprtc.client.events.job import Completed, Connected, Direction, StatusChanged, Transferred
from sleaprtc.client.events.model import ModelReport

live_area.REDRAW_INTERVAL_SEC = 0.1  # type: ignore[misc]  # a test waits for several

MIB = 2**20
MODELS = ("centroid", "centered_instance")


def losses(epoch: int) -> tuple[float, float]:
    return math.exp(-epoch / 5) + 0.001, math.exp(-epoch / 6) + 0.002 * epoch


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, too
    epochs, hold_sec = int(sys.argv[1]), float(sys.argv[2])
    with open_display(as_json=False) as show:
        for part in range(5):
            show(Transferred(Direction.SEND, "labels.pkg.slp", 4 * MIB, part * MIB, 0))
        show(Connected("gpu-1", "direct", "aiortc"))
        for number, model in enumerate(MODELS):
            for epoch in range(1, epochs + 1):
                train, val = losses(epoch)
                progress = (number + epoch / epochs) / 2
                show(
                    StatusChanged(
                        "gpu-1", "running", progress, epoch, epochs, train, val, 1.5, model, "cuda:0"
                    )
                )
            print(f"a word on {model}", file=sys.stderr)
        time.sleep(hold_sec)
        report = ModelReport(
            "centroid",
            "models/centroid",
            9,
            7,
            0.25,
            split="val",
            error_px_mean=1.0,
            error_px_median=0.5,
            error_px_p95=2.5,
            oks_map=0.75,
        )
        show(
            Completed(
                "j", "gpu-1", ("models/centroid",), 0.25, 2 * epochs, 3.0, 1.0, "cuda:0", report=(report,)
            )
        )


main()
