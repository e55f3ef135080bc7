"""What is kept of a training, as far as that needs no sleap-nn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sleaprtc.client.results.report import complete_report
from sleaprtc.worker.sleap_nn.plan.kept import read_plans, write_plans
from sleaprtc.worker.sleap_nn.plan.training import ModelPlan
from sleaprtc.worker.sleap_nn.runner import keeping
from sleaprtc.worker.sleap_nn.runner.keeping import KeptModel, drop_rows, hold_folder, replace_file
from sleaprtc.worker.sleap_nn.runner.parent import RunnerError
from sleaprtc.worker.sleap_nn.salvage import salvage

PLANS = (
    ModelPlan("centroid", "a.slp", None, {}, asked={}),
    ModelPlan("centered_instance", "a.slp", "b.slp", {"x": 1}, {"x": 2}, "c.yaml", ("x",), ("y", "z")),
)


@pytest.fixture(autouse=True)
def in_a_job_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a runner works."""
    monkeypatch.chdir(tmp_path)


def row(epoch: int, **changed: object) -> dict[str, object]:
    losses = {"train_loss": 1 / epoch, "val_loss": 2 / epoch}
    return {"epoch": epoch, "total_epochs": 9, "device": "cpu", "elapsed_sec": epoch, **losses, **changed}


def train(
    head: str, *rows: dict[str, object], files: tuple[str, ...] = ("best.ckpt", "last.ckpt")
) -> KeptModel:
    """Leaves what a training leaves."""
    folder = Path("models", head)
    folder.mkdir(parents=True)
    for name in (*files, "training_config.yaml"):
        (folder / name).write_text(name)
    kept = KeptModel(head, folder)
    for entry in rows:
        kept.note_epoch(entry)
    return kept


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    replace_file(path, lambda file: file.write(b"old"))

    def fail(file: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        replace_file(path, fail)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in (tmp_path / "state").iterdir()] == []


def test_an_epoch_that_was_trained_twice_counts_once_and_half_a_line_not_at_all() -> None:
    kept = train("centroid", row(1), row(2), row(3), row(2, train_loss=0.1))
    with Path("state/centroid.jsonl").open("a") as log:
        log.write('{"epoch": 3, "train')
    assert [(entry["epoch"], entry["train_loss"]) for entry in kept.rows()] == [(1, 1.0), (2, 0.1)]


def test_rows_of_later_epochs_are_dropped_from_the_table(tmp_path: Path) -> None:
    table = tmp_path / "training_log.csv"
    table.write_text("epoch,train/loss\r\n0,\r\n1,0.5\r\n2,0.4\r\n3,0.")
    drop_rows(table, 2)
    assert table.read_bytes() == b"epoch,train/loss\r\n0,\r\n1,0.5\r\n"
    drop_rows(tmp_path / "missing.csv", 2)


def test_a_finished_model_is_known_by_its_summary() -> None:
    kept = train("centroid", row(1))
    assert kept.finished() is None
    kept.finish({"head": "centroid", "epochs": 1})
    assert kept.finished() == {"head": "centroid", "epochs": 1}
    assert sorted(path.name for path in Path("models/centroid").iterdir()) == [
        "best.ckpt",
        "training_config.yaml",
    ]
    Path("models/centroid/best.ckpt").unlink()
    assert kept.finished() is None


def test_two_processes_do_not_train_in_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_held", [])
    hold_folder()
    with pytest.raises(RunnerError, match="still writes into its folder"):
        hold_folder(patience_sec=0.0)
    keeping._held.pop().close()
    hold_folder(patience_sec=0.0)
    keeping._held.pop().close()


def test_plans_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_plans(tmp_path) is None
    write_plans(tmp_path, PLANS)
    assert read_plans(tmp_path) == PLANS
    (tmp_path / "plan.json").write_text(json.dumps([{"head": "centroid", "levitates": True}]))
    assert read_plans(tmp_path) is None
    (tmp_path / "plan.json").write_text("[{")
    assert read_plans(tmp_path) is None


def test_the_best_models_so_far_are_salvaged(tmp_path: Path) -> None:
    train("centroid", row(1), row(2)).finish({"head": "centroid"})
    train("centered_instance", row(1), row(2, val_loss=5.0), row(3, val_loss=float("nan")))
    outcome = salvage(PLANS, tmp_path, "the owner went home.")
    assert outcome is not None
    assert [folder.name for folder in outcome.model_dirs] == ["centroid", "centered_instance"]
    assert (outcome.final_loss, outcome.total_epochs, outcome.duration_sec) == (2.0, 5, 3.0)
    assert outcome.cut == (
        "The training was cut short: the centered_instance model is the best of 3 of 9 epochs. The owner "
        "went home."
    )
    assert not list(tmp_path.rglob("last.ckpt"))


@pytest.mark.parametrize(
    ("source", "val_losses"), [("held_out", [2.0, 1.0, 4.0]), ("trained_on", [None] * 3)]
)
def test_a_salvaged_model_is_reported_with_all_its_epochs(
    tmp_path: Path, source: str, val_losses: list[float | None]
) -> None:
    """The client that fetches it hasn't seen them all, and calls nothing validation that was trained on."""
    kept = train("centroid", row(1), row(2), row(3, val_loss=4.0))
    changed = {"key": "trainer_config.use_wandb", "asked": True, "used": False, "given": True}
    settings = {"configuration": "c.yaml", "changed": [changed], "chosen": []}
    kept.note_premises(settings, {"source": source, "frames": 1, "train_frames": 3})
    outcome = salvage(PLANS[:1], tmp_path, "x")
    assert outcome is not None
    report = complete_report(outcome.model_dirs[0], "centroid", None)
    assert (report.epochs, report.best_epoch) == (3, 2)
    table = (tmp_path / "models/centroid/report/losses.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[2] or "nan") for line in table] == pytest.approx(
        [float("nan") if loss is None else loss for loss in val_losses], nan_ok=True
    )
    assert (report.validation, report.val_frames, report.train_frames) == (source, 1, 3)
    assert [entry.key for entry in report.changed] == ["trainer_config.use_wandb"]
    assert report.problems == ("The training was cut before the model was evaluated.",)


def test_a_best_model_that_was_set_aside_is_salvaged(tmp_path: Path) -> None:
    """The worker was killed while sleap-nn chose its folder."""
    train("centroid", row(1))
    Path("models/centroid/best.ckpt").rename("state/centroid.best.ckpt")
    outcome = salvage(PLANS[:1], tmp_path, "x")
    assert outcome is not None
    assert (outcome.model_dirs[0] / "best.ckpt").read_text() == "best.ckpt"


@pytest.mark.parametrize(
    ("rows", "files"),
    [((), ("best.ckpt",)), ((row(1),), ()), ((row(1, val_loss=float("nan")),), ("best.ckpt",))],
)
def test_nothing_is_made_of_what_is_no_model(
    tmp_path: Path, rows: tuple[dict[str, object], ...], files: tuple[str, ...]
) -> None:
    train("centroid", *rows, files=files)
    assert salvage(PLANS, tmp_path, "x") is None
