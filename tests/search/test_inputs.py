"""The inputs of a sweep: the advice on few validation images."""

from __future__ import annotations

import pytest

from raytl.config.search import SearchConfig
from raytl.search.inputs import _advice


@pytest.mark.parametrize(("folds", "val", "said"), [(None, 50, True), (None, 100, False), (3, 50, False)])
def test_folds_are_recommended_for_few_validation_images(folds: int | None, val: int, said: bool) -> None:
    text = _advice(SearchConfig(folds=folds), {"train": 200, "val": val})
    assert bool(text) is said
    assert not said or ("50 validation images" in text and "all 250 images" in text)
