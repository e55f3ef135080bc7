"""``python -m benchmarks.path_worker``: the worker program, with a stand-in that trains at once."""

from functools import partial
from pathlib import Path

from sleaprtc.worker import program
from sleaprtc.worker.__main__ import main
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer

if __name__ == "__main__":
    script = Path(__file__).with_name("path_runner.py")
    program.SleapNNTrainer = partial(SleapNNTrainer, script=script)
    main()
