"""A task's network over a split: rows by id, whatever the threads and the order of the batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from raytl.data.class_maps import ClassMaps
from raytl.data.loader import Batch
from raytl.data.manifest import Sample
from raytl.data.targets import Instances
from raytl.data.transforms import Preprocess
from raytl.tasks.classification.targets import LabelEncoder
from raytl.tasks.inference import Network, Truths, split_rows
from raytl.tasks.registry import task_named

PREPROCESS = Preprocess(8, 8, "center", "bilinear", (0.5,) * 3, (0.5,) * 3)
CPU = torch.device("cpu")
ENCODER = LabelEncoder(np.arange(18) % 5)
IMAGES = torch.randint(0, 255, (18, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def network(precision: torch.dtype = torch.float32) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    return Network(task_named("classification"), module, PREPROCESS, CPU, precision)


def batches(starts: list[int]) -> list[Batch]:
    """Batches of three images, in the order of `starts`."""
    return [Batch(IMAGES[start : start + 3], torch.arange(start, start + 3)) for start in starts]


@pytest.mark.parametrize("starts", [[0, 3, 6, 9, 12, 15], [15, 12, 9, 6, 3, 0], [9, 0, 15, 3, 12, 6]])
def test_rows_are_equal_for_any_threads_and_any_order_of_batches(threads: int, starts: list[int]) -> None:
    ids, (rows,) = split_rows(network(), batches(starts), ENCODER)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    _, (alone,) = split_rows(network(), batches([0, 3, 6, 9, 12, 15]), ENCODER)
    assert ids.tolist() == list(range(18))
    np.testing.assert_array_equal(rows, alone)


def test_the_part_of_a_worker_keeps_its_ids() -> None:
    _, (whole,) = split_rows(network(), batches([0, 3, 6, 9, 12, 15]), ENCODER)
    ids, (rows,) = split_rows(network(), batches([12, 3]), ENCODER)
    assert ids.tolist() == [3, 4, 5, 12, 13, 14]
    np.testing.assert_array_equal(rows, whole[ids])


def test_no_batches_give_no_rows() -> None:
    ids, (rows,) = split_rows(network(), [], ENCODER)
    assert len(ids) == len(rows) == 0


def test_the_rows_of_classification_are_the_answers_of_the_network() -> None:
    _, (rows,) = split_rows(network(), batches([15, 0, 6, 3, 12, 9]), ENCODER)
    answers = network().answers(IMAGES, [(0, 0)] * 18)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, np.stack(answers), atol=1e-6)


def test_reduced_precision_gives_float32_answers_close_by() -> None:
    exact, reduced = (np.stack(network(p).answers(IMAGES, [(0, 0)] * 18)) for p in (torch.float32, torch.bfloat16))
    assert reduced.dtype == np.float32
    assert not np.array_equal(exact, reduced)
    np.testing.assert_allclose(exact, reduced, atol=0.1)


def test_truths_are_read_by_place_and_by_slice() -> None:
    truths = Truths(ENCODER)
    assert len(truths) == 18
    assert (list(truths), truths[1:4], truths[-1]) == ([i % 5 for i in range(18)], [1, 2, 3], 2)
    with pytest.raises(IndexError, match="out of range"):
        truths[18]


def test_details_follow_the_rows_of_scores_from_the_same_answers() -> None:
    task, preprocess = task_named("segmentation"), PREPROCESS.fit((8, 8))
    encoder = ClassMaps(
        [Sample(f"{i}", f"/{i}", Instances(8, 8, ()), "val", "") for i in range(18)],
        ("background", "cat"),
        preprocess,
        max_pixels=64,
    )
    torch.manual_seed(0)
    maps = Network(task, nn.Conv2d(3, 2, 1).eval(), preprocess, CPU, torch.float32)
    _, alone = split_rows(maps, batches([0, 3, 6, 9, 12, 15]), encoder)
    ids, rows = split_rows(maps, batches([15, 0, 6, 3, 12, 9]), encoder, details="whole")
    assert len(alone) == 2 and ids.tolist() == list(range(18))
    for value, expected in zip(rows[:2], alone, strict=True):
        np.testing.assert_array_equal(value, expected)
    bins = rows[2]
    brief = split_rows(maps, batches([15, 0, 6, 3, 12, 9]), encoder, details="brief")[1]
    assert len(brief) == 3
    np.testing.assert_array_equal(brief[2], bins)
    assert bins.shape == (18, 15, 3) and (bins[:, :, 0].sum(axis=1) == 64).all()


def test_a_task_without_details_has_no_more_rows() -> None:
    _, (rows,) = split_rows(network(), batches([0, 3]), ENCODER, details="whole")
    _, (expected,) = split_rows(network(), batches([0, 3]), ENCODER)
    np.testing.assert_array_equal(rows, expected)
