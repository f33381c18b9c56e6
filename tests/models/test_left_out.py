from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.metrics.suspects import suspects
from raytl.models.left_out import LEAST, _parts, left_out_in_parts


def test_correct_labels_of_rare_classes_are_not_suspect_in_a_set_of_several_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raytl.models.left_out.AT_ONCE", 60)
    rng = np.random.default_rng(0)
    common = rng.normal(size=(4, 64))
    centers = np.vstack([common, common + 0.8 * rng.normal(size=(4, 64))])
    targets = np.repeat(np.arange(8), [140] * 4 + [6] * 4)
    features = torch.from_numpy(centers[targets] + 0.25 * rng.normal(size=(len(targets), 64)))
    table = left_out_in_parts(features, targets, 8, lambda places: places, seed=0)
    assert (table.argmax(axis=1) == targets).all()
    assert suspects(targets, table) == ()


def test_each_part_has_enough_images_of_each_class_or_none() -> None:
    sizes = [1, 2, LEAST, 2 * LEAST - 1, 2 * LEAST, 40, 1000]
    targets = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    parts = _parts(targets, 10, np.random.default_rng(2))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(targets)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 2 * LEAST
    counts = np.stack([np.bincount(targets[part], minlength=19)[::3] for part in parts])
    assert all(min(column[column > 0]) >= min(size, LEAST) for column, size in zip(counts.T, sizes, strict=True))
    assert set(counts[:, -1]) == {100}


def test_one_part_is_the_whole_set_in_the_order_of_the_seed_and_a_part_may_have_one_class() -> None:
    targets = np.zeros(30, np.int64)
    [part] = _parts(targets, 1, np.random.default_rng(3))
    assert part.tolist() == np.random.default_rng(3).permutation(30).tolist()
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    assert left_out_in_parts(features, targets, 2, lambda places: places, 0)[:, 0].min() > 0.5
