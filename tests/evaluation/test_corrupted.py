"""Stored answers are those of one model, one suite and one choice of photos; anything else is not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raytl.data.corruptions.suite import SUITES
from raytl.evaluation.corrupted import EXAMPLE_PX, CorruptedAnswers, read_corrupted, write_corrupted
from raytl.models.card import Card
from raytl.run import RunFolder

KEYS = ("a", "b")


@pytest.fixture
def card(run: RunFolder) -> Card:
    from raytl.models.saved_model import read_card

    return read_card(run.best)


@pytest.fixture
def stored(tmp_path: Path, card: Card) -> CorruptedAnswers:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1 + 3 * len(SUITES["camera"]), 2, 3)).astype(np.float32)
    examples = rng.integers(0, 255, (2, EXAMPLE_PX, EXAMPLE_PX, 3), dtype=np.uint8)
    answers = CorruptedAnswers("camera", KEYS, logits, examples)
    write_corrupted(tmp_path, answers, card)
    return answers


def test_what_was_written_is_read(tmp_path: Path, stored: CorruptedAnswers, card: Card) -> None:
    result = read_corrupted(tmp_path, "camera", KEYS, card)
    assert result is not None and result.keys == KEYS
    assert (result.logits == stored.logits).all() and (result.examples == stored.examples).all()


@pytest.mark.usefixtures("stored")
def test_answers_of_another_model_or_to_other_photos_are_not_used(
    tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_corrupted(tmp_path, "camera", ("b", "a"), card) is None
    assert read_corrupted(tmp_path, "camera", KEYS, replace(card, digest="f" * 64)) is None
    monkeypatch.setitem(SUITES, "camera", SUITES["camera"][:-1])
    assert read_corrupted(tmp_path, "camera", KEYS, card) is None


@pytest.mark.parametrize("damage", ["missing", "cut", "shape", "nan"])
def test_a_damaged_file_is_not_used(tmp_path: Path, stored: CorruptedAnswers, card: Card, damage: str) -> None:
    path = tmp_path / "corrupted-camera.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        logits = stored.logits[:-1] if damage == "shape" else np.full_like(stored.logits, np.nan)
        write_corrupted(tmp_path, replace(stored, logits=logits), card)
    assert read_corrupted(tmp_path, "camera", KEYS, card) is None
