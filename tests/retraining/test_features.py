"""The features of a version are read back, or named in an error if damaged."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from raytl.errors import RegistryError
from raytl.tasks.features import FeatureTable

TABLE = FeatureTable(
    np.ones((2, 3), np.float32), np.array(["a", "b"]), np.array(["a", "a"]), np.array([0.5, 1.0])
)  # fmt: skip


def saved(**changed: Any) -> bytes:
    stream = io.BytesIO()
    arrays = {
        "features": TABLE.features,
        "labels": TABLE.labels,
        "predicted": TABLE.predicted,
        "confidence": TABLE.confidence,
    }
    np.savez(stream, **{name: array for name, array in {**arrays, **changed}.items() if array is not None})
    return stream.getvalue()


def test_features_come_back() -> None:
    found = FeatureTable.decoded(TABLE.encoded(), "reference.npz")
    assert found.features.tolist() == TABLE.features.tolist()
    assert found.predicted.tolist() == ["a", "a"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        TABLE.encoded()[:200],
        saved(labels=None),
        saved(labels=np.array(["a"])),
        saved(features=np.ones(2)),
        saved(labels=np.array([{}, {}], dtype=object)),
        saved(confidence=np.array(["x", "y"])),
    ],
)
def test_features_that_are_damaged_are_named(content: bytes) -> None:
    with pytest.raises(RegistryError, match=r"reference\.npz: cannot be read as features of images"):
        FeatureTable.decoded(content, "reference.npz")
