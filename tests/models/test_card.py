"""The card of a saved model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.events import Message, Recorder
from raytl.models.card import CARD, Card, read_card, saved_model_directory

PREPROCESS = Preprocess(32, 36, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
ODD = Card("test_resnet", ("a b", 'c"d', "é\n"), PREPROCESS, "none", digest="12")


def test_a_card_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(json.dumps(ODD.to_json()), encoding="utf-8")
    assert read_card(tmp_path) == ODD


def test_a_saved_model_is_found_in_itself_and_in_a_run(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best"
    assert saved_model_directory(tmp_path) is None
    best.mkdir(parents=True)
    (best / CARD).touch()
    assert saved_model_directory(tmp_path) == saved_model_directory(best) == best


def test_a_folder_without_a_card_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a saved model: it has no model.json; expected a folder with"):
        read_card(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classes": [], "preprocess": {}, "odd": 1}'])
def test_a_broken_card_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CARD).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.json: .*expected .*Restore the file, or save the model again"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"preprocess.resize_px": 200_000},
            "preprocess.resize_px: found 200000; expected a number from 1 to 8,192 pixels",
        ),
        ({"preprocess.image_px": 0}, "preprocess.image_px: found 0; expected a number from 8 to 4,096 pixels"),
        ({"preprocess.image_px": 1e9}, r"preprocess.image_px: found 1000000000\.0; expected an integer"),
        ({"preprocess.mean": [0.5]}, "preprocess.mean: found a list of 1; expected 2 channels at least"),
        ({"preprocess.mean": [0.5] * 17}, "preprocess.mean: found a list of 17; expected 16 channels at most"),
        ({"preprocess.mean": [0.5] * 4}, "preprocess.std: found a list of 3; expected 4 numbers, as mean has"),
        (
            {"preprocess.bit_depth": {"ranges": [[0, 1], [0, 1]]}},
            "preprocess.bit_depth.ranges: found 2; expected 3 ranges, one for each channel",
        ),
        (
            {"preprocess.bit_depth": {"ranges": [[1, 0]]}},
            r"preprocess.bit_depth.ranges.0: found a list of 2; expected \[low, high\] with low below high",
        ),
        (
            {"preprocess.bit_depth": {"window": [40, 0]}},
            "preprocess.bit_depth.window.1: found 0; expected a finite number above 0",
        ),
        ({"preprocess.std": [0, 1, 1]}, "preprocess.std.0: found 0; expected a number from 1e-06 to 1,000"),
        ({"preprocess.std": [float("nan"), 1, 1]}, "preprocess.std.0: found nan; expected a finite number"),
        (
            {"preprocess.interpolation": "magic"},
            "preprocess.interpolation: found the text 'magic'; expected one of nearest",
        ),
        (
            {"preprocess.crop_mode": "none"},
            "preprocess.crop_mode: found the text 'none'; expected 'center' or 'squash'",
        ),
        ({"preprocess.bit_depth": {"bits": 64}}, "preprocess.bit_depth.bits: found 64; expected a number from 8 to 16"),
        ({"preprocess": None}, "preprocess: found null; expected an object with the keys image_px, resize_px"),
        ({"classes": ["a", "a"]}, "classes: found a list of 2; expected distinct classes"),
        (
            {"classes": [str(n) for n in range(100_001)]},
            "classes: found a list of 100001; expected 100,000 classes at most",
        ),
        ({"classes": "ab"}, "classes: found the text 'ab'; expected a list"),
        ({"model": 7}, "model: found 7; expected text"),
        ({"format": 2}, "format: found 2; expected 1, as a newer raytl wrote it"),
    ],
)
def test_what_a_card_may_ask_for_is_bounded_and_the_field_is_named(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    value = ODD.to_json()
    for key, changed in change.items():
        above, _, last = key.rpartition(".")
        (value[above] if above else value)[last] = changed
    (tmp_path / CARD).write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"model\.json: {problem}"):
        read_card(tmp_path)


def test_keys_of_a_newer_card_are_ignored_and_listed(tmp_path: Path) -> None:
    seen = Recorder()
    value = ODD.to_json()
    value["licence"], value["preprocess"]["colour"] = "MIT", "sRGB"
    (tmp_path / CARD).write_text(json.dumps(value), encoding="utf-8")
    assert read_card(tmp_path, seen) == ODD
    message = "ignored keys that this version of raytl does not know: preprocess.colour, licence"
    assert seen.events == [Message(f"{tmp_path / CARD}: {message}", "warning")]
