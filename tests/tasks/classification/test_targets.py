"""Targets are indices into the model's own list of classes."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.manifest import Sample
from raytl.data.targets import Labels
from raytl.errors import DataError
from raytl.tasks.classification.targets import class_names, encode_targets

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


def test_images_without_one_class_are_listed_with_the_tasks_for_them() -> None:
    given = [
        Sample("a.jpg", "/a.jpg", "ant"),
        Sample("b.jpg", "/b.jpg", Labels(("ant",))),
        Sample("c.jpg", "/c.jpg", None),
    ]
    with pytest.raises(
        DataError, match=r"2 of 3 images do not have one class, which task: classification needs"
    ) as caught:
        class_names(given)
    assert "b.jpg: labels" in str(caught.value) and "c.jpg: no label" in str(caught.value)
