"""Parts of reports for their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.data.manifest import Sample
from raytl.run.ledger import REPORT
from raytl.tasks.reporting import Occasion, Subject
from raytl.tasks.score_report import ReportKind, ScoreReport
from raytl.tasks.stored_report import stored_scores


def occasion(folder: Path) -> Occasion:
    """The first look at the test split of a run."""
    return Occasion(Subject("demo", "net", "test", "e1", "d1", 0), 1, (), 20, str(folder))


def samples(targets: list[Any]) -> tuple[Sample, ...]:
    """Images of these targets, whose photos are named by their number."""
    return tuple(Sample(f"{i}.jpg", f"/photos/{i}.jpg", target, "test") for i, target in enumerate(targets))


def photo(path: str) -> Image.Image | None:
    """A gray photo of 40 x 30 pixels; the first one is gone."""
    return None if path == "/photos/0.jpg" else Image.fromarray(np.full((30, 40, 3), 90, np.uint8))


def read_back(kind: ReportKind, report: ScoreReport, folder: Path) -> ScoreReport:
    """The report, written to `folder` and read."""
    (folder / REPORT).write_text(json.dumps(report.to_json()), encoding="utf-8")
    return stored_scores(kind, folder)
