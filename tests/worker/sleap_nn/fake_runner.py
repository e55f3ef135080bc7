"""Stands in for the runner and misbehaves as its task's ``learning_rate`` says: a fault fixture."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

EVENTS = int(sys.argv[1])


def tell(event: str, **fields: object) -> None:
    os.write(EVENTS, json.dumps({"event": event, **fields}).encode() + b"\n")


def epoch(number: int, **changed: object) -> None:
    fields = {
        "model": "single_instance",
        "epoch": number,
        "total_epochs": 4,
        "train_loss": 0.5,
        "val_loss": 0.4,
    }
    tell("epoch", **{**fields, "device": "cpu", "elapsed_sec": 1.5, **changed})


def done(epochs: int, **changed: object) -> None:
    model = {"head": "single_instance", "best_loss": 0.25, "epochs": epochs, "device": "cpu", **changed}
    tell("done", models=[model], duration_sec=2.5)


def leave_model(*names: str) -> None:
    folder = Path("models/single_instance")
    folder.mkdir(parents=True)
    for name in names or ("best.ckpt", "training_config.yaml"):
        (folder / name).write_text("x")


def leave_child() -> None:
    """A child that ignores SIGTERM and holds the pipe, as a data loader may."""
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}; print(flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[EVENTS], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    Path("child.pid").write_text(str(child.pid))


task = json.loads(sys.stdin.readline())
if task["command"] == "probe":
    tell("installed", versions={"sleap-nn": "0.3.5", "torch": "2.0"})
    tell("device", device="cpu")
    sys.exit()

behaviour = task["models"][0]["config"]["trainer_config"]["max_epochs"]
Path("environment.json").write_text(json.dumps(dict(os.environ)))
Path("runner.pid").write_text(str(os.getpid()))

if behaviour == 1:  # all is well
    tell("stage", stage="training", model="single_instance", message="Training")
    for number in range(1, 5):
        epoch(number)
    leave_model()
    done(4)
elif behaviour == 2:  # goes on until stopped
    leave_child()
    epoch(1)
    for line in sys.stdin:
        assert line == "stop\n"
        leave_model()
        done(1)
        break
elif behaviour == 3:  # can't be ended kindly, and has a child
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leave_child()
    epoch(1)
    time.sleep(600)
elif behaviour == 4:  # succeeds for the shell alone
    print("some library's last words")
elif behaviour == 5:  # says "done" without a checkpoint
    leave_model("training_config.yaml")
    done(4)
elif behaviour == 6:  # says "done" with a loss that's no number
    leave_model()
    done(4, best_loss=None)
elif behaviour == 7:
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == 8:
    os.kill(os.getpid(), signal.SIGSEGV)
elif behaviour == 9:
    raise OSError(errno.EIO, "the disk is gone")
elif behaviour == 10:  # says no
    tell("failed", code="OUT_OF_MEMORY", message="Training ran out of memory.")
elif behaviour == 11:
    tell("failed", code="INVALID_DATASET", message="The labels are odd.")
elif behaviour == 12:
    tell("failed", code="INVALID_CONFIG", message="The configuration is odd.")
elif behaviour == 13:  # talks nonsense
    os.write(EVENTS, b"\xff{not json\n")
    time.sleep(600)
elif behaviour == 14:  # a loss that's no number, then the end
    epoch(1, train_loss=None, val_loss=None)
    tell("failed", code="LOSS_NOT_FINITE", message="The loss isn't finite.")
elif behaviour == 15:  # ends without a word while a child holds the pipe
    leave_child()
elif behaviour == 16:  # takes more and more memory, in a child too
    hungry = "import time; taken = b'x' * 80_000_000; print(flush=True); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", hungry], stdout=subprocess.DEVNULL)
    epoch(1)
    time.sleep(600)
elif behaviour == 17:  # fills the disk
    Path("models").mkdir()
    Path("models/log.txt").write_bytes(b"x" * 3_000_000)
    epoch(1)
    time.sleep(600)
elif behaviour == 18:  # doesn't hear that it's to stop
    epoch(1)
    time.sleep(600)
