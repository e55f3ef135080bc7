"""A model's report at home: what a worker sent is read with care, what it didn't send is made here."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.client.events.losses import EpochLosses, ModelLosses
from sleaprtc.client.events.model import ChangedSetting, ChosenSetting, ModelReport
from sleaprtc.client.results.report import complete_report, complete_reports

from ..support.report_files import LOSSES, METRICS, scalars_in

SEEN = ModelLosses("centroid", 5, [EpochLosses(1, 0.5, None), EpochLosses(2, 0.25, None)])


def sent_model(tmp_path: Path, **files: str | bytes) -> Path:
    model = tmp_path / "centroid"
    (model / "report").mkdir(parents=True)
    for name, content in files.items():
        path = model / "report" / name.replace("_", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return model


def report_of(model: Path, seen: ModelLosses | None = None) -> ModelReport:
    return complete_report(model, "centroid", seen)


def test_a_workers_report_is_read_and_gets_its_scalars(tmp_path: Path) -> None:
    model = sent_model(tmp_path, metrics_json=json.dumps(METRICS), losses_csv=LOSSES, losses_png=b"\x89PNG")
    report = report_of(model, SEEN)
    assert (report.epochs, report.best_epoch, report.best_val_loss) == (3, 2, 0.375)
    assert report.split == "val"
    assert (report.validation, report.val_frames, report.train_frames) == ("held_out", 6, 54)
    assert report.configuration == "c.yaml"
    assert report.changed == (ChangedSetting("trainer_config.save_ckpt", False, True, True),)
    assert report.chosen == (ChosenSetting("data_config.preprocessing.scale", 0.5),)
    assert (report.error_px_mean, report.error_px_median, report.error_px_p95) == (1.5, 1.25, 4.0)
    assert (report.oks_map, report.pck_mean, report.precision, report.recall) == (0.75, 0.5, 1.0, 0.9)
    assert report.problems == ("There is no picture of predictions (there are none).",)
    assert [Path(path).name for path in report.pictures] == ["losses.png"]
    assert scalars_in(model / "report") == [
        ("loss/train", 1, 0.5),
        ("loss/val", 1, pytest.approx(0.6)),
        ("loss/train", 2, 0.25),
        ("loss/val", 2, 0.375),
        ("loss/train", 3, 0.125),
        ("loss/val", 3, 0.5),
    ]
    json.dumps(attrs.asdict(report), allow_nan=False)


def test_without_a_report_what_was_seen_is_written(tmp_path: Path) -> None:
    model = tmp_path / "centroid"
    model.mkdir()
    report = report_of(model, SEEN)
    assert (report.epochs, report.best_epoch, report.best_val_loss) == (2, 2, None)
    assert report.problems == ()
    table = list(csv.reader((model / "report" / "losses.csv").read_text().splitlines()))
    assert table == [["epoch", "train_loss", "val_loss"], ["1", "0.5", ""], ["2", "0.25", ""]]
    assert scalars_in(model / "report") == [("loss/train", 1, 0.5), ("loss/train", 2, 0.25)]


def test_a_model_that_is_a_file_has_its_report_beside_it(tmp_path: Path) -> None:
    files = [tmp_path / "best.ckpt", tmp_path / "config.yaml"]
    for file in files:
        file.touch()
    (report,) = complete_reports(files, [file.name for file in files], [SEEN])
    assert report.epochs == 2
    assert (tmp_path / "best.ckpt.report" / "losses.csv").is_file()


def test_nothing_known_is_nothing_written(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (report,) = complete_reports([model], ["model"], [])
    assert report == ModelReport("model", str(model))
    assert list(model.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["centroid", "centered_instance"], [1.0, 2.0]),
        (["b", "a"], [2.0, 1.0]),
        (["a", "other"], [1.0, None]),
        (["one"], [None]),
    ],
)
def test_models_find_their_losses_by_name_or_else_in_order(
    tmp_path: Path, names: list[str], expected: list[float | None]
) -> None:
    models = [tmp_path / name for name in names]
    for model in models:
        model.mkdir()
    losses = [ModelLosses(name, None, [EpochLosses(1, 0.5, loss)]) for name, loss in (("a", 1.0), ("b", 2.0))]
    assert [report.best_val_loss for report in complete_reports(models, names, losses)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"splits": []}',
        '{"splits": {"val": 1}}',
        '{"splits": {"val": {"distance_px": {"mean": 1' + "0" * 400 + "}}}}",
        '{"splits": {"val": {"distance_px": {"mean": NaN, "p50": "1", "p95": true}}}}',
        '{"problems": {"a": 1}}',
        '{"settings": {"changed": [1, {}, {"key": 5}, {"key": "a", "used": [1]}], "chosen": 5}}',
        '{"settings": {"chosen": [{"key": "a", "used": 1' + "0" * 400 + "}]}}",
        '{"validation": {"source": [], "frames": -1, "train_frames": 1e3}, "settings": []}',
        '{"problems": [1, ' + '"x",' * 1000 + '"' + "y" * 10_000 + '"]}',
        " " * 1_000_000,
        "\x00\xff",
    ],
    ids=range(15),
)
def test_odd_metrics_are_no_metrics(tmp_path: Path, text: str) -> None:
    report = report_of(sent_model(tmp_path, metrics_json=text))
    assert report.error_px_mean is report.error_px_median is report.error_px_p95 is None
    assert len(report.problems) <= 10
    assert all(len(problem) <= 300 for problem in report.problems)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        "epoch,train_loss,val_loss\n1,nan,1\n",
        "epoch,train_loss,val_loss\n1,1e999,1\n",
        "epoch,train_loss,val_loss\n2,1,1\n1,1,1\n",
        "epoch,train_loss,val_loss\n0,1,1\n",
        "epoch,train_loss,val_loss\n1,1\n",
        "epoch,train_loss,val_loss\n1,=cmd(),1\n",
        "epoch,train_loss,val_loss\n" + "9" * 100 + ",1,1\n",
        "epoch,train_loss,val_loss\n" + "9" * 5000 + ",1,1\n",
        'epoch,train_loss,val_loss\n1,"' + "x" * 200_000 + '",1\n',
        "epoch,train_loss,val_loss\n" + "\n" * 20_000_000,
        "\xff",
    ],
    ids=range(12),
)
def test_odd_losses_are_told_of_and_not_used(tmp_path: Path, text: str) -> None:
    report = report_of(sent_model(tmp_path, losses_csv=text))
    assert report.epochs is None
    (problem,) = report.problems
    assert problem.startswith("The worker's losses.csv can't be read (")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["mean", "p50", "x"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["distance_px", "oks", "pck", "detection"]), json_values))
def test_any_metrics(tmp_path_factory: pytest.TempPathFactory, split: dict[str, Any]) -> None:
    text = json.dumps({"splits": {"val": split}})
    report = report_of(sent_model(tmp_path_factory.mktemp("m"), metrics_json=text))
    assert report.error_px_mean is None or isinstance(report.error_px_mean, float)


def test_a_report_that_is_in_the_way_costs_a_sentence(tmp_path: Path) -> None:
    model = tmp_path / "centroid"
    model.mkdir()
    (model / "report").write_text("not a folder")
    (problem,) = report_of(model, SEEN).problems
    assert problem.startswith("The report can't be written to ")


def test_a_library_that_does_not_work_costs_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    report = report_of(sent_model(tmp_path, losses_csv=LOSSES))
    (problem,) = report.problems
    assert problem.startswith("A part of the report can't be made (ModuleNotFoundError: ")
    assert report.best_epoch == 2
