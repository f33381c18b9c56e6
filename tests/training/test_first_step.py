"""One training step on blank images shows what cannot be trained at a size, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.errors import ModelError
from raytl.models.backbone import Backbone, build
from raytl.tasks.registry import task_named
from raytl.training.first_step import check_first_step


def experiment(name: str, px: int | None = None, **train: object) -> Experiment:
    size = {} if px is None else {"preprocess": {"image_px": px}}
    model = {"name": name, "weights": "none", **size}
    return Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": model, "train": train})


CLASSES = ("a", "b", "c")
TRAIN = [Sample(f"{i}", f"/{i}", label) for i, label in enumerate("aaabbbbbcc")]


def check(config: Experiment, backbone: Backbone, depth: int) -> None:
    check_first_step(config, task_named(config.task), backbone, depth, CLASSES, TRAIN)


@pytest.mark.parametrize(
    ("name", "px", "own", "reason"),
    [
        pytest.param(
            "inception_v3", 64, 299, "Kernel size can't be greater than actual input size", marks=pytest.mark.thorough
        ),
        ("densenet121", 16, 224, "Output size is too small"),
        ("crossvit_tiny_240", 96, 240, "The size of tensor a"),
    ],
)
def test_a_size_that_a_model_cannot_be_trained_at_is_an_error(name: str, px: int, own: int, reason: str) -> None:
    config = experiment(name, px)
    with pytest.raises(
        ModelError, match=rf"^model.preprocess.image_px: {name} .* {px} px .*{reason}.* native size is {own} px"
    ):
        check(config, build(config.model, 3), 1)


@pytest.mark.parametrize(
    ("name", "px"), [("test_resnet", 32), ("test_vit", 64), ("torchvision:shufflenet_v2_x0_5", 32)]
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_size_that_it_takes_is_none_at_any_depth(name: str, px: int, depth: int) -> None:
    config = experiment(name, px, loss="focal", label_smoothing=0.1, class_weights="balanced")
    check(config, build(config.model, 3), depth)


def test_the_random_numbers_stay_as_they_were() -> None:
    config = experiment("test_resnet", 32)
    backbone = build(config.model.model_copy(update={"dropout": 0.5}), 3)
    before = torch.get_rng_state()
    check(config, backbone, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_whose_output_is_no_logits_is_named_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    config = experiment("test_resnet")
    backbone = build(config.model, 3)
    monkeypatch.setattr(backbone.module, "forward", lambda x: (x, x))
    with pytest.raises(ModelError, match=r"^model.name: test_resnet .*its output is tuple, expected \(2, 3\)"):
        check(config, backbone, 0)
