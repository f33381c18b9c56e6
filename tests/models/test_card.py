"""The card of a saved model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.card import CARD, Card, bundle_directory, read_card

PREPROCESS = Preprocess(32, 36, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
ODD = Card("test_resnet", ("a b", 'c"d', "é\n"), PREPROCESS, "none", digest="12")


def test_a_card_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(json.dumps(ODD.to_json()), encoding="utf-8")
    assert read_card(tmp_path) == ODD


def test_a_bundle_is_found_in_itself_and_in_a_run(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best"
    assert bundle_directory(tmp_path) is None
    best.mkdir(parents=True)
    (best / CARD).touch()
    assert bundle_directory(tmp_path) == bundle_directory(best) == best


def test_a_folder_without_a_card_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a saved model: it has no model.json; expected a folder with"):
        read_card(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classes": [], "preprocess": {}, "odd": 1}'])
def test_a_broken_card_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CARD).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.json: .*expected .*Restore the file, or save the model again"):
        read_card(tmp_path)
