"""Steps with several sources and terms: resumed bits, accumulation, and what the terms are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.step_source import StepSource
from raytl.data.transforms import Preprocess
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.tasks.task import Objective
from raytl.training import checkpoint
from raytl.training.objectives.adversarial import Adversary
from raytl.training.objectives.domain import TARGET_VIEW, Discrepancy, coral
from raytl.training.objectives.fixmatch import STRONG, WEAK, FixMatch
from raytl.training.objectives.joint import FeatureTap, Joint, Term
from tests.training.conftest import toy
from tests.training.in_memory import CLASSES, Fitted, fit, squares

CPU = torch.device("cpu")
POOL, COUNT = 10, 8


def sources(px: int) -> Sequence[StepSource]:
    """A pool with a weak and a strong view, and a target domain: as many of each in a step as labelled images."""
    plain = Preprocess(px, px, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    weak, strong = (TrainAugment(AugmentConfig(strength=strength), plain) for strength in (0.0, 1.0))
    pool = StepSource("pool", squares(POOL, px)[0], {WEAK: weak, STRONG: strong}, 1.0)
    return [pool, StepSource("target", [image // 2 for image in squares(POOL, px)[0]], {TARGET_VIEW: weak}, 1.0)]


def joint(backbone: Backbone, labels: Objective) -> Joint:
    width = head_layer(backbone).weight.shape[1]
    terms: dict[str, Term] = {
        "fixmatch": FixMatch(len(CLASSES), COUNT, threshold=0.4, weight=1.0, device=CPU),
        "dann": Adversary(width, COUNT, weight=1.0, seed=0, device=CPU),
    }
    return Joint.of(labels, terms, FeatureTap(backbone))


def trained(folder: Path, changes: dict[str, Any], resume: checkpoint.Checkpoint | None = None, **more: Any) -> Fitted:
    return fit(toy(folder, folder, changes), folder, resume=resume, step=joint, beside=sources, **more)


def states(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, dict[str, Any]]]:
    saved = checkpoint.load(folder)
    assert saved is not None
    return saved.model, saved.objective, saved.optimizer


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    changes = {"train.epochs": 2, "optim.ema": 0.9, "train.checkpoint_every_s": 1e-9}
    whole = trained(tmp_path / "whole", changes)
    assert len(whole.checkpoints) == 6, "two inside each epoch of three steps, and one at its end"
    resumed = trained(tmp_path / "resumed", changes, checkpoint.load(whole.checkpoints[3]))
    assert resumed.records == whole.records[1:]
    for one, other in zip(states(whole.checkpoints[-1]), states(resumed.checkpoints[-1]), strict=True):
        assert one.keys() == other.keys() and one
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=0, atol=0)
    owned = states(whole.checkpoints[-1])[1]
    before = states(whole.checkpoints[0])[1]
    assert all(not torch.equal(owned[name], before[name]) for name in owned), "thresholds and discriminator moved"


def test_accumulation_takes_the_same_steps_as_the_whole_batch(tmp_path: Path) -> None:
    common = {"model.name": "test_vit", "model.preprocess.image_px": 64, "train.epochs": 2, "augment.strength": 0.0}
    one, parts = (trained(tmp_path / str(n), {**common, "train.accumulate": n}) for n in (1, 3))
    assert one.losses == pytest.approx(parts.losses, rel=1e-4)
    whole, divided = (states(fitted.checkpoints[-1])[1] for fitted in (one, parts))
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, divided[name], rtol=1e-3, atol=1e-4)


def test_the_loss_of_each_term_counts_beside_that_of_the_labels(tmp_path: Path) -> None:
    def weighted(weight: float) -> Any:
        def of(backbone: Backbone, labels: Objective) -> Joint:
            return Joint.of(labels, {"coral": Discrepancy(coral, weight)}, FeatureTap(backbone))

        return of

    changes = {"train.epochs": 1, "optim.lr": 1e-12, "model.name": "test_vit", "model.preprocess.image_px": 64}
    experiment = toy(tmp_path, tmp_path, changes)
    none, some, twice = (
        fit(experiment, tmp_path / str(weight), step=weighted(weight), beside=sources).losses[0]
        for weight in (0.0, 1e3, 2e3)
    )
    assert some > none
    assert twice - none == pytest.approx(2 * (some - none), rel=1e-3)


def test_supervised_training_has_no_state_of_an_objective(tmp_path: Path) -> None:
    fitted = fit(toy(tmp_path, tmp_path, {"train.epochs": 1}), tmp_path)
    saved = checkpoint.load(fitted.checkpoints[-1])
    assert saved is not None and saved.objective == {}
    assert sorted(path.name for path in fitted.checkpoints[-1].iterdir()) == [
        "average.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]


def test_the_tap_keeps_features_of_passes_with_gradients_only(tmp_path: Path) -> None:
    from raytl.config.schema import ModelConfig
    from raytl.models.backbone import build

    backbone = build(ModelConfig(name="test_resnet", weights="none"), 3)
    tap, images = FeatureTap(backbone), torch.zeros(3, 3, 32, 32)
    backbone.module(images)
    with torch.no_grad():
        backbone.module(images[:2])
    features = tap.take()
    assert features.shape[0] == 3 and features.requires_grad
