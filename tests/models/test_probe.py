"""The head solved rather than trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.errors import DataError, ModelError, RunError
from raytl.metrics.scores import scores, softmax
from raytl.models import probe
from raytl.models.backbone import Backbone, build
from raytl.models.forward import BatchLike, forward
from raytl.models.parallel import computed
from raytl.models.solved_head import STRENGTHS

CPU = torch.device("cpu")
PX = 32
TARGETS = torch.arange(21) % 3
"""The classes of `photos`, in the order of their ids."""


@dataclass
class Batch:
    images: Tensor
    ids: Tensor


@dataclass
class Features:
    train: Tensor
    targets: Tensor
    val: Tensor
    val_targets: Tensor

    def solve(self, classes: int = 3, **options: object) -> probe.Probe:
        return probe.solve(self.train, self.targets, self.val, self.val_targets, classes, **options)  # type: ignore[arg-type]


def draw(n: int = 120, d: int = 20, classes: int = 3, apart: float = 0.5, seed: int = 0) -> Features:
    """Overlapping clouds, one a class, with features of very different sizes."""
    source = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, d, generator=source) * apart
    targets = torch.arange(2 * n) % classes
    sizes = torch.logspace(-3, 3, d)
    values = (centres[targets] + torch.randn(2 * n, d, generator=source) + 1.0) * sizes
    return Features(values[:n], targets[:n], values[n:], targets[n:])


def probabilities(solved: probe.Probe, values: Tensor) -> np.ndarray:
    return softmax((values.double() @ solved.best.weight.double().T + solved.best.bias.double()).numpy())


def standardised(given: Features) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = given.train.double().mean(0), given.train.double().std(0, correction=0)
    return ((given.train - mean) / deviation).numpy(), ((given.val - mean) / deviation).numpy()


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5)])
def test_it_agrees_with_scikit_learn(strength: float, weights: tuple[float, ...] | None) -> None:
    given = draw()
    train, val = standardised(given)
    shares = np.ones(len(train)) if weights is None else np.array(weights)[given.targets.numpy()]
    peer = LogisticRegression(C=1 / (strength * shares.sum()), tol=1e-10, max_iter=10_000)
    peer.fit(train, given.targets.numpy(), sample_weight=shares)
    solved = given.solve(strengths=[strength], weights=weights)
    assert np.abs(probabilities(solved, given.val) - peer.predict_proba(val)).max() < 1e-3


def test_the_path_of_strengths_ends_where_each_strength_alone_does() -> None:
    given = draw()
    path = given.solve()
    for strength, loss in path.scores.items():
        alone = given.solve(strengths=[strength]).scores[strength]
        assert loss["val/log_loss"] == pytest.approx(alone["val/log_loss"], abs=1e-3)


def test_the_strength_is_the_best_by_log_loss_and_much_weaker_ones_are_not_tried() -> None:
    solved = draw(apart=0.2).solve()
    losses = {strength: loss["val/log_loss"] for strength, loss in solved.scores.items()}
    assert losses[solved.best.strength] == min(losses.values())
    tried = sorted(losses, reverse=True)
    assert tuple(tried) == tuple(sorted(STRENGTHS, reverse=True)[: len(tried)])
    assert len(tried) <= tried.index(solved.best.strength) + 3


def test_the_soft_head_is_as_accurate_within_a_standard_error_and_less_sure() -> None:
    given = draw(apart=0.6)
    solved = given.solve()
    accuracy = {strength: loss["val/accuracy"] for strength, loss in solved.scores.items()}
    best = accuracy[solved.best.strength]
    within = [s for s, value in accuracy.items() if value >= best - (best * (1 - best) / len(given.val)) ** 0.5]
    assert solved.soft.strength == max(within) > solved.best.strength
    assert solved.soft.weight.norm() < solved.best.weight.norm()
    assert (solved.start(0), solved.start(1)) == (solved.best, solved.soft)


def test_its_scores_are_those_of_the_head_it_gives() -> None:
    given = draw()
    solved = given.solve()
    logits = given.val @ solved.best.weight.T + solved.best.bias
    for name, value in scores(given.val_targets, logits).items():
        assert solved.scores[solved.best.strength][f"val/{name}"] == pytest.approx(value, abs=1e-4)
    assert solved.best.weight.dtype == solved.best.bias.dtype == torch.float32


def test_a_path_of_few_steps_ends_near_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    given, most = draw(n=200, d=16, classes=20), 12
    whole = given.solve(classes=20)
    monkeypatch.setattr("raytl.models.head_work.MOST_WORK", 2 * 200 * 16 * 20 * len(STRENGTHS) * most)
    steps: list[int] = []
    few = given.solve(classes=20, on_step=lambda: steps.append(1))
    assert len(steps) <= len(STRENGTHS) * (most + 25)
    for name in ("val/log_loss", "val/accuracy"):
        assert few.scores[few.best.strength][name] == pytest.approx(whole.scores[whole.best.strength][name], abs=0.02)


@pytest.mark.parametrize("strengths", [STRENGTHS, (1e-12,)])
def test_separable_classes_do_not_diverge(strengths: tuple[float, ...]) -> None:
    solved = draw(n=30, d=60, apart=20.0).solve(strengths=strengths)
    assert solved.best.weight.isfinite().all()
    assert solved.best.bias.isfinite().all()
    assert solved.scores[solved.best.strength]["val/accuracy"] == 1.0


@pytest.mark.parametrize("constant", [0.0, 1e-9, 0.1, 1e4])
def test_constant_features_take_no_part(constant: float) -> None:
    given = draw()
    without = given.solve(strengths=[1e-2])
    more = [torch.cat([part, torch.full((len(part), 3), constant)], dim=1) for part in (given.train, given.val)]
    more[1][:, -1] += 0.5  # constant in training only
    solved = replace(given, train=more[0], val=more[1]).solve(strengths=[1e-2])
    assert solved.best.weight[:, -3:].abs().max() < 1e-5
    assert torch.allclose(solved.best.weight[:, :-3], without.best.weight, rtol=1e-3, atol=1e-6)


def test_features_that_are_all_constant_give_the_classes_shares() -> None:
    targets = torch.tensor([0, 0, 0, 1])
    solved = Features(torch.ones(4, 5), targets, torch.ones(4, 5), targets).solve(classes=2)
    assert probabilities(solved, torch.ones(1, 5))[0] == pytest.approx([0.75, 0.25], abs=1e-4)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_may_be_missing_in_a_split(split: str) -> None:
    given = draw()
    if split == "val":
        there = given.val_targets != 2
        given = replace(given, val=given.val[there], val_targets=given.val_targets[there])
    else:
        there = given.targets != 2
        given = replace(given, train=given.train[there], targets=given.targets[there])
    solved = given.solve()
    assert solved.best.weight.isfinite().all()
    assert solved.best.bias.isfinite().all()
    assert math.isfinite(solved.scores[solved.best.strength]["val/log_loss"])


def test_label_smoothing_makes_it_less_sure() -> None:
    given = draw(apart=2.0)
    sure, smooth = (given.solve(strengths=[1e-4], label_smoothing=smoothing) for smoothing in (0.0, 0.2))
    assert probabilities(smooth, given.val).max() < probabilities(sure, given.val).max() - 0.03


def test_without_an_intercept_the_bias_is_zero() -> None:
    given = draw(apart=3.0)
    solved = given.solve(intercept=False)
    assert not solved.best.bias.any()
    assert solved.scores[solved.best.strength]["val/accuracy"] > 0.8


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_an_error(value: float) -> None:
    given = draw()
    given.train[3, 2] = value
    with pytest.raises(
        ModelError, match=r"features of 1 of 120 training images are not finite; expected numbers. .* .fp16 overflows"
    ):
        given.solve()


def small(name: str = "test_resnet", classes: int = 3, px: int = PX) -> Backbone:
    torch.manual_seed(0)
    config = ModelConfig(name=name, weights="none", preprocess=PreprocessOverride(image_px=px))
    return build(config, classes)


def photos(sizes: tuple[int, ...] = (7, 8, 6), px: int = PX, seed: int = 0) -> list[Batch]:
    """Batches with their ids out of order; a class has a channel that is brighter."""
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(sum(sizes), generator=source)
    batches = []
    for ids in order.split(list(sizes)):
        images = torch.randint(0, 160, (len(ids), 3, px, px), generator=source, dtype=torch.uint8)
        images[torch.arange(len(ids)), ids % 3] += 60
        batches.append(Batch(images, ids))
    return batches


def logits_of(backbone: Backbone, batches: list[Batch]) -> np.ndarray:
    """The logits of the network in evaluation mode, in the order of the ids."""

    def logits(batch: BatchLike) -> Tensor:
        return forward(backbone.module, batch.images, backbone.preprocess, CPU, torch.float32, False)

    parts = computed(backbone.module, batches, logits, CPU)
    return torch.cat([rows for _, rows in parts])[torch.cat([ids for ids, _ in parts]).argsort()].numpy()


def solved_for(backbone: Backbone, px: int = PX, **options: object) -> probe.Probe:
    train = probe.head_inputs(backbone, photos(px=px), CPU, torch.float32)
    val = probe.head_inputs(backbone, photos(px=px, seed=1), CPU, torch.float32)
    return probe.solve(train, TARGETS, val, TARGETS, 3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "torchvision:mobilenet_v3_small", "torchvision:resnet18"]
)
def test_an_installed_head_scores_on_val_what_the_probe_told(name: str) -> None:
    backbone = small(name)
    solved = solved_for(backbone)
    probe.install(backbone, solved.best)
    logits = logits_of(backbone, photos(seed=1))
    for metric, value in scores(TARGETS, logits).items():
        assert solved.scores[solved.best.strength][f"val/{metric}"] == pytest.approx(value, abs=1e-4)


def test_inputs_come_in_the_order_of_the_ids_and_leave_the_network_as_it_was() -> None:
    backbone = small()
    backbone.module.train()
    before = {name: tensor.clone() for name, tensor in backbone.module.state_dict().items()}
    given = probe.head_inputs(backbone, photos(), CPU, torch.float32)
    assert given.shape == (21, 96)
    assert given.dtype == torch.float32
    assert backbone.module.training
    assert not probe.head_layer(backbone)._forward_pre_hooks
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.module.state_dict().items())
    images, ids = (torch.cat(parts) for parts in zip(*((batch.images, batch.ids) for batch in photos()), strict=True))
    alone = probe.head_inputs(backbone, [Batch(images[ids.argsort()], torch.arange(21))], CPU, torch.float32)
    assert torch.allclose(given, alone, atol=1e-5)


def test_inputs_have_the_same_bits_on_any_number_of_threads() -> None:
    backbone, before = small(), torch.get_num_threads()

    def inputs_on(threads: int) -> Tensor:
        torch.set_num_threads(threads)
        try:
            return probe.head_inputs(backbone, photos(), CPU, torch.float32)
        finally:
            torch.set_num_threads(before)

    assert torch.equal(inputs_on(1), inputs_on(3))


def test_inputs_in_bfloat16_are_near_those_in_float32() -> None:
    backbone = small("test_vit")
    exact = probe.head_inputs(backbone, photos(), CPU, torch.float32)
    near = probe.head_inputs(backbone, photos(), CPU, torch.bfloat16)
    assert near.dtype == torch.float32
    assert (near - exact).norm() < 0.05 * exact.norm()


class Toy(nn.Module):
    """A body that keeps 4 places of the image, and a head over them."""

    def __init__(self, head: nn.Module, tokens: bool = False, bend: bool = False) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 5, PX // 2, PX // 2)
        self.head = head
        self.tokens, self.bend = tokens, bend

    def forward(self, images: Tensor) -> Tensor:
        places = self.body(images)
        logits: Tensor = self.head(places.flatten(2).mT if self.tokens else places)
        logits = logits.relu() if self.bend else logits
        return logits.mean(1) if self.tokens else logits.flatten(2).mean(2)


def toy(head: nn.Module, **options: bool) -> Backbone:
    torch.manual_seed(0)
    module = Toy(head, **options)
    names = tuple(name for name, _ in module.named_parameters() if name.startswith("head"))
    return Backbone("toy", module, (), names, small().preprocess, "none", convolutional=False)


@pytest.mark.parametrize(("head", "tokens"), [(nn.Conv2d(5, 3, 1), False), (nn.Linear(5, 3), True)])
def test_inputs_at_several_places_are_averaged(head: nn.Module, tokens: bool) -> None:
    backbone = toy(head, tokens=tokens)
    solved = solved_for(backbone)
    probe.install(backbone, solved.best)
    logits = logits_of(backbone, photos(seed=1))
    loss = solved.scores[solved.best.strength]["val/log_loss"]
    assert scores(TARGETS, logits)["log_loss"] == pytest.approx(loss, abs=1e-4)


def test_a_head_without_a_bias_takes_a_probe_without_one_and_refuses_another() -> None:
    backbone = toy(nn.Conv2d(5, 3, 1, bias=False))
    solved = solved_for(backbone, intercept=False)
    probe.install(backbone, solved.best)
    logits = logits_of(backbone, photos(seed=1))
    loss = solved.scores[solved.best.strength]["val/log_loss"]
    assert scores(TARGETS, logits)["log_loss"] == pytest.approx(loss, abs=1e-4)
    with pytest.raises(ModelError, match=r"toy: the solved head has a bias, .* intercept=False"):
        probe.install(backbone, replace(solved.best, bias=torch.tensor([0.0, 1.0, 2.0])))


def test_a_head_that_bends_its_logits_is_an_error() -> None:
    backbone = toy(nn.Conv2d(5, 3, 1), bend=True)
    before = probe.head_layer(backbone).weight.clone()
    with pytest.raises(
        ModelError, match=r"toy: its logits are not linear .*head.weight.*set search.linear_probe to false"
    ):
        probe.head_inputs(backbone, photos(), CPU, torch.float32)
    assert torch.equal(probe.head_layer(backbone).weight, before)
    assert not probe.head_layer(backbone)._forward_pre_hooks


def test_a_relu_after_the_last_convolution_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"squeezenet1_1: its logits are not linear"):
        probe.head_inputs(small("torchvision:squeezenet1_1"), photos(), CPU, torch.float32)


@pytest.mark.parametrize("head", [nn.PReLU(5), nn.Conv2d(5, 3, 2)])
def test_a_head_without_a_linear_layer_is_an_error(head: nn.Module) -> None:
    with pytest.raises(
        ModelError,
        match=r"toy: its head \(head.weight.*\) has no linear layer to solve; set search.linear_probe to false",
    ):
        probe.head_layer(toy(head))


def test_no_images_are_an_error() -> None:
    with pytest.raises(DataError, match="found no images; expected some in train and in val"):
        probe.head_inputs(small(), [], CPU, torch.float32)


def test_a_head_of_other_classes_is_an_error() -> None:
    solved = solved_for(small())
    with pytest.raises(
        ModelError, match=r"the solved head is 3 x 96, but the network needs 5 x 96 \(classes x features\)"
    ):
        probe.install(small(classes=5), solved.best)


@pytest.mark.parametrize("strengths", [STRENGTHS, (0.1,)], ids=["another soft head", "the soft head is the best"])
def test_a_saved_probe_is_read_as_it_was(strengths: tuple[float, ...], tmp_path: Path) -> None:
    solved = draw().solve(strengths=strengths)
    assert (solved.soft is solved.best) == (len(strengths) == 1)
    solved.scores[solved.best.strength]["val/macro_f1"] = math.nan
    folder = tmp_path / "sweep" / "a head"
    for _ in range(2):  # the second time over the first
        probe.save(solved, folder)
        read = probe.load(folder)
        for one, other in ((read.best, solved.best), (read.soft, solved.soft)):
            assert torch.equal(one.weight, other.weight)
            assert torch.equal(one.bias, other.bias)
            assert one.strength == other.strength
        assert read.seconds == solved.seconds
        assert repr(read.scores) == repr(solved.scores)
    assert [path.name for path in folder.parent.iterdir()] == ["a head"]


def test_a_probe_that_is_not_there_or_cut_short_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "head"
    with pytest.raises(RunError, match="cannot read a solved head .* the sweep solves it again"):
        probe.load(folder)
    probe.save(draw().solve(), folder)
    tensors = folder / "probe.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:40])
    with pytest.raises(RunError, match="cannot read a solved head"):
        probe.load(folder)
