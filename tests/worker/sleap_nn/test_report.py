"""A model's report, where matplotlib and sleap-io aren't: what can be made is made, and nothing is raised."""

from __future__ import annotations

import json
import math
import threading
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import pytest

from sleaprtc.client.results.report import complete_report
from sleaprtc.worker.sleap_nn.runner import report
from sleaprtc.worker.sleap_nn.runner.report import make_report, name_metrics, read_metrics
from sleaprtc.worker.sleap_nn.runner.training import tell_untrained

THEIRS = {
    "distance_metrics": {
        "avg": 1.5,
        "p50": 1,
        "p95": math.nan,
        "dists": [[1, 2]],
        "video_paths": ["/home/x"],
    },
    "mOKS": {"mOKS": 0.5},
    "voc_metrics": {"oks_voc.mAP": 0.25, "oks_voc.mAR": None},
    "pck_metrics": {"mPCK": 0.75, "PCK@5": 1.0},
    "visibility_metrics": {"precision": 1.0, "tp": 3},
}


def test_metrics_get_names_that_say_their_unit() -> None:
    assert name_metrics(THEIRS) == {
        "distance_px": {"mean": 1.5, "p50": 1.0},
        "oks": {"mean": 0.5, "map": 0.25},
        "pck": {"mean": 0.75, "at_5_px": 1.0},
        "visibility": {"precision": 1.0},
    }
    assert name_metrics({"distance_metrics": None}) == {}


def test_metrics_by_split(tmp_path: Path) -> None:
    for split, mean in (("train", 1.0), ("val", 2.0)):
        path = tmp_path / f"metrics.{split}.0.json"
        path.write_text(json.dumps({"distance_metrics": {"avg": mean}}))
    assert read_metrics(tmp_path) == {
        "train": {"distance_px": {"mean": 1.0}},
        "val": {"distance_px": {"mean": 2.0}},
    }


def test_a_report_is_made_of_what_is_there(tmp_path: Path) -> None:
    problems = make_report(tmp_path, "centroid", [(1, 0.5, 0.25), (2, math.nan, None)], 1, [])
    table = (tmp_path / "report" / "losses.csv").read_text()
    assert table == "epoch,train_loss,val_loss\n1,0.5,0.25\n2,,\n"
    summary = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (summary["best_epoch"], summary["splits"]) == (1, {})
    assert summary["problems"] == problems
    assert sum("no metrics" in problem for problem in problems) == 1
    assert any(
        problem.endswith("found no animal yet, or sleap-nn evaluated none. Train longer.")
        for problem in problems
    )
    assert any(problem.startswith("There is no picture of predictions (") for problem in problems)
    assert (tmp_path / "report" / "losses.png").is_file() == (find_spec("matplotlib") is not None)


def test_a_model_that_a_stop_came_before_is_told_of_in_the_report_that_comes_home(tmp_path: Path) -> None:
    make_report(tmp_path, "centroid", [(1, 0.5, 0.25)], 1, [])
    parent = Mock()
    models = [{"head": "centroid"}, {"head": "centered_instance"}]
    tell_untrained(models, [{"head": "centroid", "directory": str(tmp_path)}], parent)
    told = complete_report(tmp_path, "centroid", None).problems[-1]
    assert told == (
        "centered_instance was not trained: the job was ended before it. "
        "A centroid model alone finds where animals are, not their nodes."
    )
    assert parent.tell.call_args.kwargs["message"] == told


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "report").touch()
    problems = make_report(tmp_path, "centroid", [(1, 0.5, 0.25)], 1, [])
    assert any(problem.startswith("There is no table of losses (") for problem in problems)


def test_pictures_that_take_too_long_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(report, "draw_losses", lambda *_: over.wait(60))
    monkeypatch.setattr(report, "draw_predictions", lambda *_: None)
    monkeypatch.setattr(report, "predicted_frames", lambda *_: ("validation", []))
    monkeypatch.setattr(report, "PICTURES_SEC", 0.05)
    problems = report.make_report(tmp_path, "centroid", [(1, 0.5, 0.25)], 1, [])
    assert "Drawing pictures took longer than 0 seconds, and was given up." in problems
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["problems"] == problems
    over.set()
    for thread in threading.enumerate():
        if "draw" in thread.name:
            thread.join(60)
