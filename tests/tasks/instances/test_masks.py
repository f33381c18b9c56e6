from __future__ import annotations

import numpy as np

from raytl.tasks.instances.masks import area, decoded
from tests.tasks.instances.answers import bitmaps, segments


def test_masks_are_those_that_pycocotools_encoded() -> None:
    each = segments()
    assert np.array_equal(list(decoded(each.counts, each.size)), bitmaps())
    assert [area(counts, each.size) for counts in each.counts] == bitmaps().sum(axis=(1, 2)).tolist()
