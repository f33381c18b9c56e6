"""Small-loss selection: what is remembered, what is left out, and that the loss is that of the images that count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.column_values import NO_VALUE
from raytl.data.sample import Sample
from raytl.training import checkpoint
from raytl.training.job import TrainJob
from raytl.training.objectives.build import step_objective
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED
from raytl.training.objectives.small_loss import LEFT_OUT, MIN_IMAGES, MOMENTUM, Selection, SmallLoss, left_out_note
from raytl.world import World
from tests.training.conftest import toy
from tests.training.in_memory import CLASSES, Fitted, fit
from tests.training.objectives.test_terms import Step

CPU = torch.device("cpu")
TARGETS = np.array([0, 1, 2, 0, 1, NO_VALUE])
LOGITS = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))


def term(kept: list[int] | None = None) -> SmallLoss:
    """The memory of six images, the last of which is made; of `kept` these count in epoch 0."""
    result = SmallLoss(Selection(0.5, 1), TARGETS, lambda selected: float(selected.mean()), CPU)
    if kept is not None:
        result.state.selected.copy_(torch.isin(torch.arange(6), torch.tensor(kept)))
    return result


def see(ours: SmallLoss, logits: Tensor, ids: list[int]) -> None:
    loss = ours.loss(Outputs({LABELLED: logits}, {}, {}, torch.tensor(ids)), Step(count=len(ids)))
    assert float(loss) == 0
    ours.end_step(World.solo(), CPU)


class Summed:
    """The cross-entropy, summed over the images."""

    def normalizer(self, targets: Any) -> None:
        return

    def __call__(self, forward: Any, inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        assert len(inputs) == len(targets) == len(ids)
        return functional.cross_entropy(forward(inputs), targets, reduction="sum")


def test_the_largest_losses_of_each_class_are_left_out() -> None:
    classes = np.array([0] * 10 + [1] * 20 + [NO_VALUE, 0])
    losses = np.concatenate([np.arange(10)[::-1] + 100.0, np.arange(20.0), [1e9, np.nan]])
    kept = Selection(0.8, 4).of(losses, classes, epoch=4)
    assert np.flatnonzero(~kept).tolist() == [0, 1, 26, 27, 28, 29], "a fifth of each class, by its own losses"


def test_the_fraction_left_out_grows_with_the_epochs() -> None:
    losses, classes = np.arange(40.0), np.zeros(40, np.int64)
    left_out = [int((~Selection(0.8, 4).of(losses, classes, epoch)).sum()) for epoch in range(6)]
    assert left_out == [0, 2, 4, 6, 8, 8]


@pytest.mark.parametrize(("images", "kept"), [(1, 1), (MIN_IMAGES, MIN_IMAGES), (7, MIN_IMAGES), (100, 10)])
def test_no_class_is_left_out_whole(images: int, kept: int) -> None:
    chosen = Selection(0.1, 1).of(np.arange(float(images)), np.zeros(images, np.int64), epoch=3)
    assert np.flatnonzero(chosen).tolist() == list(range(kept))


def test_the_memory_is_the_average_of_the_losses_that_were_seen() -> None:
    ours = term()
    ids = [[3, 0, 1, 5], [0, 3, 2, 1], [3, 0, 2, 2]]
    for logits, step in zip(LOGITS, ids, strict=True):
        see(ours, logits, step)
    of = [
        dict(zip(step, functional.cross_entropy(logits, torch.from_numpy(TARGETS[step].clip(0)), reduction="none").tolist(), strict=True))
        for logits, step in zip(LOGITS, ids, strict=True)
    ]  # fmt: skip
    weights = np.array([MOMENTUM**2, MOMENTUM, 1])
    losses = ours.state.losses()
    assert losses[3] == pytest.approx(np.dot(weights, [each[3] for each in of]) / weights.sum(), rel=1e-5)
    assert losses[1] == pytest.approx((MOMENTUM * of[0][1] + of[1][1]) / (MOMENTUM + 1), rel=1e-5)
    assert np.isnan(losses[4]), "not seen"


def test_the_loss_is_that_of_the_images_that_count_over_their_fraction() -> None:
    ours = term(kept=[0, 2, 5])
    inputs, ids = LOGITS[0].clone().requires_grad_(), torch.tensor([3, 0, 1, 2])
    seen: list[int] = []

    def forward(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images

    targets = torch.from_numpy(TARGETS[ids.numpy()])
    loss = ours.labels(Summed())(forward, inputs, targets, ids)
    kept = [1, 3]
    expected = functional.cross_entropy(LOGITS[0][kept], targets[kept], reduction="sum") / (3 / 6)
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    assert seen == [4], "the network sees all images"
    assert inputs.grad is not None and not inputs.grad[[0, 2]].any() and inputs.grad[kept].all()


def test_parts_of_a_batch_add_up_even_if_no_image_of_one_counts() -> None:
    labels, ids = term(kept=[0, 2, 5]).labels(Summed()), torch.tensor([3, 1, 0, 2])
    targets = torch.from_numpy(TARGETS[ids.numpy()])

    def of(part: slice) -> Tensor:
        return labels(lambda images: images, LOGITS[0][part], targets[part], ids[part])

    torch.testing.assert_close(of(slice(0, 2)) + of(slice(2, 4)), of(slice(0, 4)))


def test_images_are_selected_once_an_epoch_and_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.training.objectives.small_loss.MIN_IMAGES", 1)
    ours, rows = term(), torch.eye(3)
    see(ours, rows[[0, 2, 1, 2]] * 5, [0, 3, 1, 4])
    ours.begin(Step(epoch=0), {})
    assert ours.records() == {LEFT_OUT: 0} and ours.fraction == 1
    ours.begin(Step(epoch=1), {})
    assert np.flatnonzero(~ours.state.selected.numpy()).tolist() == [3, 4]
    assert ours.records() == {LEFT_OUT: 2} and ours.fraction == 4 / 6
    for _ in range(9):
        see(ours, rows[[2, 0, 1, 2]] * 5, [0, 3, 1, 4])
        ours.begin(Step(epoch=1), {})
    assert np.flatnonzero(~ours.state.selected.numpy()).tolist() == [3, 4]
    ours.begin(Step(epoch=2), {})
    assert np.flatnonzero(~ours.state.selected.numpy()).tolist() == [0, 4]


BASE = {
    "name": "a",
    "data": {"uri": "photos"},
    "model": {"name": "m"},
    "train": {"batch_size": 4, "loss": "small_loss"},
}


def test_made_images_always_count() -> None:
    experiment = override(
        Experiment.model_validate(BASE), {"data.synthetic.uri": "made", "data.synthetic.share": 0.5, "train.epochs": 2}
    )
    samples = [Sample(f"{i}", f"{i}", CLASSES[0]) for i in range(8)]
    job = TrainJob(experiment, "runs", samples, samples, CLASSES, sources={"data.synthetic": samples[:3]})
    objective: Any = step_objective(job, None, Summed(), CPU)  # type: ignore[arg-type]
    memory = objective.inner.terms["small_loss"]
    memory.state.averages[:] = torch.ones(11, 2) * torch.arange(11).unsqueeze(1)
    memory.state.averages[:, 1] = 1
    objective.prepare(Step(epoch=4), {})
    assert np.flatnonzero(~memory.state.selected.numpy()).tolist() == [7], "an eighth, as a fifth of 8 is not 2"
    assert memory.fraction == pytest.approx((7 + 8) / 16), "four steps of two real and two made images"


def trained(folder: Path, resume: checkpoint.Checkpoint | None = None) -> Fitted:
    changes = {"train.loss": "small_loss", "train.small_loss_keep": 0.3, "train.small_loss_ramp": 1, "train.epochs": 3}
    experiment = toy(Path("photos"), folder, {**changes, "train.checkpoint_every_s": 1e-9})
    samples = [Sample(f"{i}", f"{i}", CLASSES[i % 3]) for i in range(24)]
    job = TrainJob(experiment, "runs", samples, samples, CLASSES)
    return fit(experiment, folder, resume, step=lambda backbone, labels: step_objective(job, backbone, labels, CPU))


@pytest.mark.thorough
def test_a_run_that_resumes_inside_an_epoch_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    assert [record[LEFT_OUT] for record in whole.records] == [0, 9, 9], (
        "three of eight images of each class, as five stay"
    )
    inside = checkpoint.load(whole.checkpoints[4])
    assert inside is not None and (inside.progress.epoch, inside.progress.step) == (1, 2)
    resumed = trained(tmp_path / "resumed", inside)
    assert resumed.records == whole.records[1:]
    one, other = (checkpoint.load(each.checkpoints[-1]) for each in (whole, resumed))
    assert one is not None and other is not None
    for state, same in ((one.model, other.model), (one.objective, other.objective)):
        assert state.keys() == same.keys() != set()
        assert all(torch.equal(tensor, same[name]) for name, tensor in state.items())


def test_the_end_says_how_many_images_were_left_out() -> None:
    assert left_out_note({LEFT_OUT: 1352.0}, 6760) == (
        "train.loss: small_loss: 1,352 of 6,760 training images were left out of the last epoch"
    )
    assert left_out_note({}, 6760) == ""
