from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.errors import RunError
from raytl.evaluation.evidence import EVIDENCE, Answers, read_evidence, write_evidence
from raytl.models.card import Card
from raytl.run.plain import encode

CARD = Card("net", ("a", "b"), Preprocess(8, 8, "center", "bilinear", (0.5,) * 3, (0.5,) * 3), "none", digest="d" * 64)
KEYS = ("one\n1.jpg", "two.jpg", "drei ü.jpg")
SAMPLES = [Sample(key, f"/x/{key}", "a", "test", "0" * 64) for key in KEYS]
ANSWERS = Answers(
    KEYS,
    np.arange(6, dtype=np.float32).reshape(3, 2),
    np.arange(12).reshape(3, 4).astype(np.float16),
    np.arange(3 * 32 * 32 * 3).reshape(3, 32, 32, 3).astype(np.uint8),
    np.arange(21, dtype=np.float32).reshape(3, 7),
)


def written(folder: Path, **changes: Any) -> Path:
    """Write the evidence with some tensors replaced."""
    write_evidence(folder, ANSWERS, "test", CARD)
    if changes:
        tensors = load_file(folder / EVIDENCE) | changes
        save_file({name: value for name, value in tensors.items() if value is not None}, folder / EVIDENCE)
    return folder


def test_evidence_is_read_in_the_order_of_the_samples(tmp_path: Path) -> None:
    answers = read_evidence(written(tmp_path), "test", CARD, SAMPLES[::-1])
    assert answers.keys == KEYS[::-1]
    np.testing.assert_array_equal(answers.logits, ANSWERS.logits[::-1])
    np.testing.assert_array_equal(answers.features, ANSWERS.features[::-1])
    np.testing.assert_array_equal(answers.thumbnails, ANSWERS.thumbnails[::-1])
    np.testing.assert_array_equal(answers.properties, ANSWERS.properties[::-1])


def test_a_large_split_has_logits_alone(tmp_path: Path) -> None:
    write_evidence(tmp_path, Answers.without_features(KEYS, ANSWERS.logits), "test", CARD)
    answers = read_evidence(tmp_path, "test", CARD, SAMPLES)
    assert answers.features.shape == (3, 0) and answers.properties.shape == (3, 0)
    assert answers.thumbnails.shape == (3, 0, 0, 3)


def about(**changes: Any) -> np.ndarray[Any, Any]:
    values = {"weights": CARD.digest, "split": "test", "classes": CARD.classes, "keys": KEYS} | changes
    return np.frombuffer(encode(values), np.uint8)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"logits": np.zeros((3, 3), np.float32)}, r"logits: found float32 \(3, 3\); expected float32 \(3, 2\)"),
        ({"logits": np.zeros((3, 2))}, "logits: found float64"),
        ({"logits": np.full((3, 2), np.nan, np.float32)}, "logits: found values that are not finite"),
        ({"features": np.zeros((2, 4), np.float16)}, r"features: found float16 \(2, 4\); expected float16 \(3, 4\)"),
        ({"features": np.zeros((3, 70_000), np.float16)}, r"features: found float16 \(3, 70000\)"),
        ({"features": np.zeros((), np.float16)}, "features: found float16"),
        ({"thumbnails": np.zeros((3, 8, 8, 3), np.uint8)}, r"thumbnails: found uint8 \(3, 8, 8, 3\)"),
        (
            {"properties": np.zeros((3, 5), np.float32)},
            r"properties: found float32 \(3, 5\); expected float32 \(3, 7\)",
        ),
        ({"features": None}, "cannot be read .*'features'"),
        ({"about": np.frombuffer(b"{", np.uint8)}, "about: cannot be read"),
        ({"about": np.zeros(3, np.float32)}, "about: found float32"),
        ({"about": about(keys=("a", "a", "b"))}, "distinct keys"),
        ({"about": about(weights="e" * 64)}, "found answers of weights eeeeeeeeeeee to the test split"),
        ({"about": about(split="val")}, "to the val split"),
        ({"about": about(keys=("x", "y", "z"))}, "found answers for other images"),
    ],
)
def test_damaged_and_foreign_evidence_is_an_error_with_advice(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(RunError, match=text) as raised:
        read_evidence(written(tmp_path, **changes), "test", CARD, SAMPLES)
    assert "--again" in str(raised.value)


def test_a_file_that_is_not_safetensors_is_an_error(tmp_path: Path) -> None:
    (tmp_path / EVIDENCE).write_bytes(b"\xff" * 40)
    with pytest.raises(RunError, match="cannot be read"):
        read_evidence(tmp_path, "test", CARD, SAMPLES)
