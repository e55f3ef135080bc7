"""``python -m tests.faults.worker``: the worker program, with the stand-in for sleap-nn."""

from functools import partial
from pathlib import Path

from sleaprtc.worker import program
from sleaprtc.worker.__main__ import main
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer

if __name__ == "__main__":
    script = Path(__file__).with_name("stand_in_runner.py")
    program.SleapNNTrainer = partial(SleapNNTrainer, script=script)
    main()
