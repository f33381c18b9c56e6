"""What `raytl explain` prints, and its errors; `tests/evaluation/test_explain.py` has the maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytl.evaluation.explanation.record import Explanation, Explanations
from raytl.tasks.reporting import Unreadable
from tests.cli.conftest import Raytl


def explanation(path: str, correct: bool | None, border: float) -> Explanation:
    true = None if correct is None else ("glass",)
    return Explanation(
        path, "metal", 0.873, ("metal",), true, correct, "cam", "pictures/1.png", 0.5, 0.5, border, 0.2, 3.0
    )


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the work; the options that it was called with."""
    called: dict[str, Any] = {}

    def explain(run: str, photos: Any, **options: Any) -> Explanations:
        called.update(options, run=run, photos=photos)
        maps = (explanation("a\x1b[31m.jpg", False, 0.41), *[explanation("b.jpg", True, float("nan"))] * 30)
        return Explanations(
            "m", "0" * 64, "cam", "a map of 7 x 7 cells", "val", maps, (Unreadable("c.jpg", "empty file"),)
        )

    monkeypatch.setattr("raytl.evaluation.explain.explain", explain)
    return called


def test_the_first_maps_the_method_and_the_files_are_shown(raytl: Raytl, explained: dict[str, Any]) -> None:
    done = raytl("explain", "runs/x", "--mistakes", "--method", "cam", "--class", "metal", "-o", "maps")
    assert done.code == 0, done.err
    for text in ("87.3 %", "41 %", "–", "and 1 more map on the page", "cam: a map of 7 x 7 cells", "maps/index.html"):
        assert text in done.out
    assert "31 maps of the val split, 1 of wrong answers" in done.out
    assert "\x1b[31m" not in done.out
    assert "could not read 'c.jpg': empty file" in done.err
    assert {key: explained[key] for key in ("run", "mistakes", "split", "method", "label", "out")} == {
        "run": "runs/x", "mistakes": True, "split": None, "method": "cam", "label": "metal", "out": Path("maps"),
    }  # fmt: skip


def test_json_has_all_maps(raytl: Raytl, explained: dict[str, Any]) -> None:
    found = json.loads(raytl("explain", "runs/x", "photos", "--split", "test", "--json").out)
    assert (found["out"], len(found["explanations"]), found["explanations"][1]["border"]) == ("explanations", 31, None)
    assert (explained["split"], explained["photos"]) == ("test", ["photos"])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("runs/none", "photos"), "no such run folder"),
        (("runs/none",), "photos: found none; expected folders, manifests or photos"),
        (("runs/none", "photos", "--method", "lime"), "is not one of"),
    ],
)
def test_wrong_input_ends_with_2_and_no_traceback(raytl: Raytl, words: tuple[str, ...], fault: str) -> None:
    done = raytl("explain", *words)
    assert done.code == 2
    assert fault in done.err
    assert "Traceback" not in done.err
