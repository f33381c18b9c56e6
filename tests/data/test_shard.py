"""Batches are arithmetic: every sample once, near-equal, the same for every world."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.shard import (
    EndlessOrder,
    class_weights,
    count_beside,
    epoch_order,
    eval_batches,
    global_batch,
    rank_part,
    source_seed,
    steps_per_epoch,
)

WORLDS = [1, 2, 3, 5]


@pytest.mark.parametrize("n", [1, 2, 21, 64, 65, 129])
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_the_batches_of_an_epoch_hold_each_sample_once_and_differ_by_at_most_one(n: int, batch: int) -> None:
    order, steps = epoch_order(n, seed=3, epoch=1), steps_per_epoch(n, batch)
    batches = [global_batch(order, step, steps) for step in range(steps)]
    sizes = [len(b) for b in batches]
    assert max(sizes) <= batch and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert sorted(np.concatenate(batches)) == list(range(n))
    for mine, numpys in zip(batches, np.array_split(order, steps), strict=True):
        np.testing.assert_array_equal(mine, numpys)


@pytest.mark.parametrize("size", WORLDS)
def test_the_ranks_share_a_global_batch_out_without_loss(size: int) -> None:
    batch = epoch_order(13, seed=0, epoch=0)
    parts = [rank_part(batch, rank, size) for rank in range(size)]
    assert sorted(np.concatenate(parts)) == list(range(13))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("size", WORLDS)
@pytest.mark.parametrize("n", [0, 1, 21, 24])
def test_evaluation_deals_whole_fixed_batches_without_padding(n: int, size: int) -> None:
    whole = eval_batches(n, 4, 0, 1)
    dealt = [b for rank in range(size) for b in eval_batches(n, 4, rank, size)]
    assert sorted(map(tuple, dealt)) == sorted(map(tuple, whole))
    assert [i for b in whole for i in b] == list(range(n))


def test_an_order_is_a_pure_function_of_seed_and_epoch() -> None:
    np.testing.assert_array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 2))
    assert not np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 3))
    assert not np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 2, 2))


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    epoch_order(50, 1, 2, np.ones(50))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # type: ignore[index]


def test_balanced_draws_show_every_class_equally_often() -> None:
    targets = np.array([0] * 90 + [1] * 9 + [2] * 1)
    weights = class_weights(targets, 3)
    assert weights.sum() == pytest.approx(1.0)
    for epoch in range(5):
        drawn = epoch_order(100, 0, epoch, weights)
        counts = np.bincount(targets[drawn], minlength=3)
        assert len(drawn) == 100 and counts.sum() == 100
        assert abs(counts - 100 / 3).max() < 12


def test_balanced_draws_rotate_the_samples_of_a_large_class() -> None:
    weights = class_weights([0] * 90 + [1] * 10, 2)
    seen = np.unique(np.concatenate([epoch_order(100, 0, epoch, weights) for epoch in range(12)]))
    assert len(seen) > 95


def test_a_class_without_samples_does_not_disturb_the_weights() -> None:
    np.testing.assert_allclose(class_weights([0, 0, 2], 4), [0.25, 0.25, 0.5])


def test_a_step_outside_the_epoch_is_refused() -> None:
    with pytest.raises(AssertionError, match="step 3 outside an epoch of 3"):
        global_batch(epoch_order(9, 0, 0), 3, 3)


def test_an_order_without_end_gives_each_sample_once_a_cycle() -> None:
    order = EndlessOrder(10, seed=4)
    parts = [order.batch(step, 4) for step in range(10)]
    ids, cycles = (np.concatenate(each) for each in zip(*parts, strict=True))
    np.testing.assert_array_equal(cycles, np.repeat(range(4), 10))
    for cycle in range(4):
        np.testing.assert_array_equal(ids[cycles == cycle], epoch_order(10, 4, cycle))


@pytest.mark.parametrize("count", [3, 25])
def test_a_step_of_an_order_without_end_does_not_depend_on_the_steps_before(count: int) -> None:
    order = EndlessOrder(10, seed=4)
    in_order = [order.batch(step, count) for step in range(6)]
    for step in (5, 0, 3):
        for mine, other in zip(EndlessOrder(10, seed=4).batch(step, count), in_order[step], strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("n", "batch", "ratio", "expected"), [(64, 16, 1, 16), (64, 16, 0.5, 8), (10, 64, 1, 10), (9, 4, 0.01, 1)]
)
def test_a_source_gives_images_in_proportion_to_the_labelled_ones(
    n: int, batch: int, ratio: float, expected: int
) -> None:
    assert count_beside(n, batch, ratio) == expected


@pytest.mark.parametrize("size", WORLDS)
def test_ranks_get_near_equal_numbers_over_all_sources(size: int) -> None:
    first, second = np.arange(7), np.arange(4)
    parts = [(rank_part(first, rank, size), rank_part(second, rank, size, before=7)) for rank in range(size)]
    totals = [len(one) + len(other) for one, other in parts]
    assert max(totals) - min(totals) <= 1
    assert sorted(np.concatenate([other for _, other in parts])) == list(range(4))


def test_sources_of_one_seed_have_orders_of_their_own() -> None:
    assert len({source_seed(0, "a"), source_seed(0, "b"), source_seed(1, "a"), 0}) == 4
    assert source_seed(7, "a") == source_seed(7, "a") < 2**31
