"""Reports of real trainings with sleap-nn, at smoke size."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from pathlib import Path

import pytest

from sleaprtc.client.results.report import complete_reports

from ...support.real_training import job_for, train
from ...support.report_files import scalars_in

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("trainer_python")]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_size(path: Path) -> tuple[int, int]:
    """Reads a whole PNG (RFC 2083), checks its chunks, and that there is a row of pixels for each line."""
    data, chunks = path.read_bytes(), []
    assert data.startswith(PNG_SIGNATURE)
    data = data[len(PNG_SIGNATURE) :]
    while data:
        (length,) = struct.unpack(">I", data[:4])
        kind, body = data[4:8], data[8 : 8 + length]
        assert struct.unpack(">I", data[8 + length : 12 + length]) == (zlib.crc32(kind + body),)
        chunks.append((kind, body))
        data = data[12 + length :]
    width, height = struct.unpack(">II", chunks[0][1][:8])
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    assert len(pixels) % height == 0
    return width, height


def losses_in(model: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((model / "report" / "losses.csv").read_text().splitlines()))


async def test_the_report_of_a_model_that_has_learned(
    tmp_path: Path,
    recordings: dict[int, Path],
) -> None:
    steps = {"min_train_steps_per_epoch": 40, "train_steps_per_epoch": 40, "seed": 1}
    requested = {"model_type": "base", "epochs": 8, "learning_rate": 0.005}
    job = job_for(tmp_path, recordings[1], requested, "single_instance", trainer_config=steps)
    outcome = await train(job)
    (report,) = complete_reports(outcome.model_dirs, ["single_instance"], [])
    folder, rows = outcome.model_dirs[0] / "report", losses_in(outcome.model_dirs[0])
    assert report.problems == ()
    assert [Path(path).name for path in report.pictures] == ["losses.png", "predictions.png"]
    assert all(min(png_size(Path(path))) > 300 for path in report.pictures)
    summary = json.loads((folder / "metrics.json").read_text())
    assert 0 < summary["splits"]["val"]["distance_px"]["p50"] < 100
    assert report.error_px_median == summary["splits"]["val"]["distance_px"]["p50"]
    assert set(summary["splits"]["train"]) >= {"distance_px", "oks", "pck"}
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert (report.epochs, report.best_epoch) == (len(rows), int(best["epoch"]))
    assert report.best_val_loss == float(best["val_loss"]) == outcome.final_loss
    assert len(scalars_in(folder)) == 2 * len(rows)


async def test_models_that_find_nothing_have_reports_too(
    tmp_path: Path,
    recordings: dict[int, Path],
) -> None:
    heads = ["centroid", "centered_instance"]
    outcome = await train(job_for(tmp_path, recordings[2], {"model_type": "topdown", "epochs": 2}, *heads))
    reports = complete_reports(outcome.model_dirs, heads, [])
    assert [report.model for report in reports] == heads
    for report, model in zip(reports, outcome.model_dirs, strict=True):
        assert [row["epoch"] for row in losses_in(model)] == ["1", "2"]
        assert min(png_size(model / "report" / "losses.png")) > 300
        assert json.loads((model / "report" / "metrics.json").read_text())["problems"] == list(
            report.problems
        )
