from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raytl.errors import RunError
from raytl.metrics.intervals import Interval
from raytl.run.ledger import REPORT
from raytl.tasks.reporting import ClassScores, Evaluated, OpenPhoto, Subject
from raytl.tasks.score_report import ReportKind, ScoreReport, WorstImage
from raytl.tasks.stored_report import stored_scores
from raytl.tasks.task import Confusion
from tests.tasks.reports import read_back

UNDEFINED = Interval(math.nan, math.nan, math.nan)


def no_pictures(report: ScoreReport, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
    raise AssertionError


KIND = ReportKind(
    "map", "objects", "About confusions.", "F1", ("About scores.",), (("confusion.png", "Confusion matrix"), ("pr.png", "Curves")), no_pictures,
)  # fmt: skip


@pytest.fixture
def report() -> ScoreReport:
    scores = {"map": Interval(0.5, 0.4, 0.625), "map_50": Interval(0.75, 0.7, 0.8)}
    sizes = {
        f"map_{size}": each
        for size, each in zip(
            ("small", "medium", "large"), (Interval(0.25, 0.2, 0.3), UNDEFINED, Interval(1, 1, 1)), strict=True
        )
    }
    return ScoreReport(
        kind=KIND,
        subject=Subject("blood|2", "net", "test", "e1", "d1", 0),
        images=4,
        overall=scores | sizes,
        by_class=ClassScores(("a|b", "c\n*d*"), (1200, 0), "objects", {"ar": (Interval(0.5, 0.4, 0.6), UNDEFINED), "ap": (Interval(0.5, 0.4, 0.625), UNDEFINED)}),
        confusion=Confusion(("a|b", "c\n*d*", "background"), np.array([[8, 1, 1], [0, 0, 0], [3, 0, 0]])),
        worst=(WorstImage("x/`1`.jpg", "/d/x/`1`.jpg", 0.25, "3 missed"),),
        look=1,
        looks=(),
        resamples=20,
        folder="/runs/demo",
    )  # fmt: skip


PAGE = r"""# blood\|2: test split

**mAP 50.0 %** (95 % interval 40.0 – 62.5 %) on 4 images with 1,200 objects of 1 class, `net`.

| score | value | 95 % interval |
| --- | ---: | ---: |
| mAP | 50.0 % | 40.0 – 62.5 % |
| mAP 50 | 75.0 % | 70.0 – 80.0 % |

## By size

| size | mAP |
| --- | ---: |
| small | 25.0 (20–30) |
| medium | – |
| large | 100.0 (100–100) |

Small objects have an area of at most 32 x 32 pixels, large ones of more than 96 x 96.

## Classes

| class | objects | AR | AP |
| --- | ---: | ---: | ---: |
| a\|b | 1,200 | 50.0 (40–60) | 50.0 (40–62) |
| c \*d\* | 0 | – | – |

## Confusions

About confusions.

![Confusion matrix](confusion.png)

| true | predicted | objects | of the true class |
| --- | --- | ---: | ---: |
| background | a\|b | 3 | – |
| a\|b | c \*d\* | 1 | 10 % |
| a\|b | background | 1 | 10 % |

## Charts

![Curves](pr.png)

## Worst images

The images with the lowest F1, truth beside prediction. Check these for wrong annotations first.

![Worst images](worst.png)

| photo | F1 | mistakes |
| --- | ---: | --- |
| x/\`1\`.jpg | 25.0 | 3 missed |

## How this was measured
"""


def test_the_page_is_the_same_as_before(report: ScoreReport) -> None:
    page, _, method = report.to_markdown().partition("\n- Weights:")
    assert page == PAGE
    assert "- About scores.\n" in method


def test_a_report_without_mistakes_says_so(report: ScoreReport) -> None:
    clean = replace(report, worst=(), confusion=Confusion(("a", "b"), np.diag([3, 4])))
    page = clean.to_markdown()
    assert "No image has a mistake." in page
    assert "worst.png" not in page
    assert clean.pictures == ("confusion.png", "pr.png")
    assert clean.highlights == "0 worst images"


def test_a_second_look_is_marked(report: ScoreReport) -> None:
    again = replace(report, look=2)
    assert "# blood\\|2: test split, evaluation 2" in again.to_markdown()
    assert "**Look 2.**" in again.to_markdown()
    assert repr(again) == "ScoreReport(blood|2, test split, evaluation 2, 4 images: mAP 50.0 %)"


def test_json_has_null_for_undefined_scores_and_reads_back(report: ScoreReport, tmp_path: Path) -> None:
    value = report.to_json()
    assert value["metrics"]["map_medium"] == {"value": None, "low": None, "high": None}
    assert value["classes"]["a|b"]["support"] == 1200
    again = read_back(KIND, report, tmp_path)
    assert again.to_json() == value | {"folder": str(tmp_path)}
    assert again.to_markdown() == report.to_markdown()


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"metrics": {}}, "metrics: lacks 'map'"),
        ({"classes": {"a": {"support": 1, "ap": 3}}}, "classes: found 3 for a score"),
        ({"classes": {"a": {"ap": {"value": 1, "low": 1, "high": 1}}}}, "classes: found 'support'"),
        ({"confusion": {"classes": ["a"], "cells": {"true": [4], "predicted": [0], "images": [1]}}}, "confusion: "),
        ({"worst": [{"key": "a"}]}, "worst"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_field(
    report: ScoreReport, change: dict[str, object], wrong: str, tmp_path: Path
) -> None:
    (tmp_path / REPORT).write_text(json.dumps(report.to_json() | change))
    with pytest.raises(RunError, match=wrong):
        stored_scores(KIND, tmp_path)
