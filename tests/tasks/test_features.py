"""Features are stored in half precision without a value that drift cannot be measured with."""

from __future__ import annotations

import io

import numpy as np

from raytl.metrics.drift import drift
from raytl.tasks.features import FeatureTable, in_half

WORDS = np.array(["a"] * 40)
FEATURES = np.random.default_rng(0).normal(0, 1e5, (40, 4)).astype(np.float32)


def table(features: np.ndarray) -> FeatureTable:
    return FeatureTable(in_half(features), WORDS, WORDS, np.ones(40))


def test_features_beyond_half_precision_come_back_as_those_of_new_images() -> None:
    stored = FeatureTable.decoded(table(FEATURES).encoded(), "reference.npz")
    assert np.array_equal(stored.features, table(FEATURES).features) and np.abs(stored.features).max() == 65504
    assert drift(stored.features, table(FEATURES).features).amount < 0.5


def test_features_that_an_earlier_version_stored_as_infinite_are_clipped() -> None:
    features = np.array([[np.nan, -np.inf, np.inf, 0.5]], np.float16)
    stream = io.BytesIO()
    np.savez(stream, features=features, labels=WORDS[:1], predicted=WORDS[:1], confidence=np.ones(1))
    assert FeatureTable.decoded(stream.getvalue(), "reference.npz").features.tolist() == [[0, -65504, 65504, 0.5]]
