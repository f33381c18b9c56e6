"""Targets are indices into the model's own list of classes."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.manifest import Sample
from raytl.tasks.classification.targets import encode_targets

SAMPLES = [Sample("1", "/1", "cat"), Sample("2", "/2", "ant"), Sample("3", "/3", "cat")]


def test_a_target_is_the_index_of_the_label_in_the_given_order() -> None:
    targets = encode_targets(SAMPLES, ("cat", "bee", "ant"))
    assert targets.dtype == np.int64
    np.testing.assert_array_equal(targets, [0, 2, 0])


def test_no_samples_have_no_targets() -> None:
    assert encode_targets([], ("cat", "ant")).shape == (0,)


def test_a_label_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(KeyError, match="ant"):
        encode_targets(SAMPLES, ("cat", "bee"))
