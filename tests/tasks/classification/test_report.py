from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raytl.metrics.confusion import confusion_matrix, matrix_of
from raytl.metrics.intervals import Estimates, Interval, bootstrap
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import encode
from raytl.tasks.classification.report import Report, as_json, as_markdown
from raytl.tasks.reliability import Calibration
from raytl.tasks.reporting import Subject
from raytl.tasks.score_text import score_text, title
from raytl.tasks.stored_scores import Mistake

CLASSES = ("card|board", "glass_*", "metal\nbits", "never")
FIRST = LedgerEntry(1, "ann", "2026-01-02T03:04:05+00:00", "f" * 64)
SECOND = LedgerEntry(2, "bob", "2026-02-02T03:04:05+00:00", "f" * 64)


def _evaluation(look: int | None = 1, looks: tuple[LedgerEntry, ...] = (FIRST,), skipped: int = 0) -> Report:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 60)
    table = rng.dirichlet(np.ones(4) * 0.3, 60)
    table[:, 3] *= 0.01
    table /= table.sum(axis=1, keepdims=True)
    return Report(
        Subject("trash", "mobilenetv2_100", "test", "e" * 64, "d" * 64, skipped),
        CLASSES,
        bootstrap(targets, table, resamples=100),
        confusion_matrix(targets, table.argmax(1), 4),
        (Mistake("a/b_1.jpg", "/data/a/b_1.jpg", CLASSES[0], CLASSES[1], 0.987),),
        look,
        looks,
        100,
        "runs/trash/evaluation/test",
    )


def evaluation_of_classes(names: tuple[str, str, str, str], look: LedgerEntry) -> Report:
    """An evaluation of classes so called, with a mistake and a look of such names too."""
    mistake = Mistake(names[2], names[2], names[0], names[1], 0.9)
    made = _evaluation(looks=(look,))
    return replace(made, classes=names, mistakes=(mistake,), subject=replace(made.subject, run=names[0]))


def _tables(text: str) -> list[list[str]]:
    return [block.split("\n") for block in text.split("\n\n") if block.startswith("|")]


def test_every_row_of_every_table_has_the_cells_of_its_header_whatever_the_classes_are_called() -> None:
    tables = _tables(as_markdown(_evaluation()))
    assert len(tables) == 4
    for rows in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_the_report_says_how_many_images_which_weights_which_look_and_how() -> None:
    text = as_markdown(_evaluation(skipped=2))
    assert text.startswith("# trash: test split\n\n**Accuracy ")
    assert "on 60 images of 3 classes, `mobilenetv2_100`." in text
    assert f"best checkpoint, `{'e' * 64}`" in text
    assert "percentile bootstrap, 100 resamples" in text
    assert "2 unreadable images of the data set were skipped (skipped.jsonl)" in text
    assert "1. 2026-01-02T03:04:05+00:00 by ann" in text
    assert "evaluation 2" not in text.lower()
    for name in ("balanced accuracy", "macro F1", "log loss", "calibration error", "top-3 accuracy"):
        assert f"| {name} |" in text


def test_a_calibrated_model_is_compared_with_its_answers_as_trained() -> None:
    found = replace(_evaluation(), calibration=Calibration(0.4, {"log_loss": 9.5, "ece": 0.5}))
    assert "Calibrated with temperature 0.400, fitted on the validation split: log loss 9.500 -> " in as_markdown(found)
    assert ", calibration error 50.0 % -> " in as_markdown(found)
    assert as_json(found)["calibration"] == {"temperature": 0.4, "uncalibrated": {"log_loss": 9.5, "ece": 0.5}}
    assert "Calibrated" not in as_markdown(_evaluation())


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.0, "this is the pretrained network with that head"),
        (0.3, "this is 0.3 of the fine-tuned network and 0.7 of the pretrained"),
    ],
)
def test_the_report_says_that_training_fell_back(fraction: float, words: str) -> None:
    found = _evaluation()
    assert words in as_markdown(replace(found, subject=replace(found.subject, fine_tuned_fraction=fraction)))
    assert "solved head" not in as_markdown(found)


def test_a_second_look_is_marked() -> None:
    text = as_markdown(_evaluation(2, (FIRST, SECOND)))
    assert text.startswith("# trash: test split, evaluation 2\n")
    assert "> **Look 2.** This test split was evaluated before" in text
    assert "Evaluations of this run's test split: 2\n  1. 2026-01-02" in text
    assert as_json(_evaluation(2, (FIRST, SECOND)))["look"] == 2


def test_a_look_at_val_lists_the_looks_at_the_test_split() -> None:
    found = _evaluation(None, ())
    assert "The test split of this run has not been evaluated." in as_markdown(found)
    assert as_json(found)["look"] is None


def test_undefined_scores_are_dashes_in_the_page_and_null_in_the_json() -> None:
    found = _evaluation()
    assert "| never | 0 | – | – | – |" in as_markdown(found)
    assert as_json(found)["classes"]["never"]["recall"] == {"value": None, "low": None, "high": None}


def test_the_json_is_strict_and_holds_the_scores() -> None:
    value = json.loads(json.dumps(as_json(_evaluation()), allow_nan=False))
    assert value["images"] == 60
    assert set(value["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert sum(value["confusion"]["cells"]["images"]) == 60
    assert value["looks"][0]["who"] == "ann"


def test_without_mistakes_the_report_says_so() -> None:
    found = replace(_evaluation(), matrix=np.diag([20, 20, 20, 0]), mistakes=())
    text = as_markdown(found)
    assert "No photo was misclassified." in text
    assert "worst.png" not in text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("accuracy", 0.9135, "91.3 %"), ("log_loss", 0.25, "0.250"), ("top_5_accuracy", 1.0, "100.0 %"),
     ("accuracy", float("nan"), "–")],
)  # fmt: skip
def test_a_score_is_shown_in_its_own_way(name: str, value: float, text: str) -> None:
    assert score_text(name, value) == text


def test_names_are_written_as_people_do() -> None:
    assert [title(name) for name in ("top_5_accuracy", "ece", "other_score")] == [
        "top-5 accuracy", "calibration error", "other score",
    ]  # fmt: skip


def test_a_report_of_2000_classes_takes_as_much_as_its_images_and_classes_not_their_square() -> None:
    classes, images = 2000, 10_000
    rng = np.random.default_rng(0)
    targets, called = rng.integers(0, classes, images), rng.integers(0, classes, images)
    unknown = (Interval(0.5, 0.25, 0.75),) * classes
    found = replace(
        _evaluation(),
        classes=tuple(f"class {number}" for number in range(classes)),
        estimates=Estimates({"accuracy": unknown[0]}, unknown, unknown, unknown, (5,) * classes),
        matrix=confusion_matrix(targets, called, classes),
    )
    content = encode(as_json(found), indent=2)
    assert len(content) < 3_000_000
    assert len(as_markdown(found)) < 300_000
    cells = json.loads(content)["confusion"]["cells"]
    assert matrix_of(cells, classes).tolist() == found.matrix.tolist()


def test_its_text_names_the_run_and_the_scores() -> None:
    text = repr(_evaluation(2, (FIRST, SECOND)))
    assert text.startswith("Report(trash, test split, evaluation 2, 60 images: accuracy ")
    assert "macro F1" in text


def test_a_notebook_shows_tables_and_embedded_pictures_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "confusion.png").write_bytes(b"picture")
    hostile = evaluation_of_classes(("<script>alert(1)</script>", "a\x1b[31m&", "\udcff.jpg", "d"), FIRST)
    page = replace(hostile, folder=str(tmp_path))._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"<script|onerror|https?:|\x1b", page)
    assert '<img alt="Confusion matrix" src="data:image/png;base64,cGljdHVyZQ==">' in page
    assert "Worst mistakes" not in page  # there is no such file
    assert page.encode("utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    assert len(rows) == 2 + len(hostile.estimates.overall) + len(CLASSES)


def test_a_notebook_shows_the_weakest_of_many_classes() -> None:
    number = 60
    each = tuple(Interval(i / number, 0.0, 1.0) for i in range(number))
    page = replace(
        _evaluation(),
        classes=tuple(f"class {i}" for i in range(number)),
        estimates=Estimates({"accuracy": each[5]}, each, each, each, (1,) * number),
    )._repr_html_()
    assert "<td>class 0</td>" in page
    assert "<td>class 49</td>" in page
    assert "<td>class 50</td>" not in page
    assert "The 50 classes with the lowest F1; 10 more." in page
