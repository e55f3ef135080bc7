"""What comes home beside a model, whether its worker makes reports or not."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

from sleaprtc.client.display import JSONDisplay, PlainDisplay

from ..support.lab import ScriptedTrainer, make_labels
from ..support.report_files import LOSSES, METRICS, scalars_in

PNG = b"\x89PNG\r\n\x1a\n not looked into"


class ReportingTrainer(ScriptedTrainer):
    """Lays down a report beside its model."""

    async def train(self, job, *, report, stop):
        outcome = await super().train(job, report=report, stop=stop)
        for folder in outcome.model_dirs:
            (folder / "report").mkdir()
            (folder / "report" / "metrics.json").write_text(json.dumps(METRICS))
            (folder / "report" / "losses.csv").write_text(LOSSES)
            (folder / "report" / "losses.png").write_bytes(PNG)
            (folder / "report" / "predictions.png").write_bytes(PNG)
        return outcome


async def test_a_report_comes_home(lab, tmp_path):
    shown = io.StringIO()
    async with lab.worker("gpu-1", ReportingTrainer()):
        completed = await lab.train(make_labels(tmp_path / "flies.pkg.slp"), PlainDisplay(shown).show)
    folder = tmp_path / "models" / "centroid" / "report"
    (report,) = completed.report
    assert (report.model, report.error_px_median, report.error_px_p95) == ("centroid", 1.25, 4.0)
    assert report.pictures == (str(folder / "losses.png"), str(folder / "predictions.png"))
    assert (folder / "predictions.png").read_bytes() == PNG
    assert len(scalars_in(folder)) == 6
    assert {Path(path).name.partition(".")[0] for path in report.files} == {"metrics", "losses", "events"}
    text = shown.getvalue()
    for cell in ("2 of 3", "0.375", "1.2 px", "4.0 px", "0.75"):
        assert cell in text
    assert f"Picture: {folder / 'predictions.png'}\n" in text
    assert "There is no picture of predictions (there are none).\n" in text

    with redirect_stdout(io.StringIO()) as printed:
        JSONDisplay().show(completed)
    (as_json,) = json.loads(printed.getvalue())["report"]
    assert as_json["error_px_p95"] == 4.0
    assert as_json["pictures"] == list(report.pictures)


async def test_a_worker_without_reports(lab, tmp_path):
    async with lab.worker("gpu-1", ScriptedTrainer(epochs=4)):
        completed = await lab.train(make_labels(tmp_path / "flies.pkg.slp"))
    folder = tmp_path / "models" / "centroid" / "report"
    (report,) = completed.report
    assert (report.epochs, report.best_epoch, report.best_val_loss) == (4, 4, 0.25)
    rows = list(csv.reader((folder / "losses.csv").read_text().splitlines()))
    assert rows[1:] == [[str(epoch), str(1 / epoch), str(1 / epoch)] for epoch in range(1, 5)]
    assert len(scalars_in(folder)) == 8
