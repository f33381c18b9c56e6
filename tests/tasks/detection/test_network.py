"""The heads of detection and instance segmentation: losses that no division of a batch changes, and what they find."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from raytl.config.schema import ModelConfig
from raytl.errors import ConfigError
from raytl.models.backbone import Backbone
from raytl.models.freeze import apply_freeze
from raytl.tasks.detection import network
from raytl.tasks.instances import network as instances
from raytl.tasks.objects import Limits, ObjectBatch
from tests.tasks.detection.objects import SIZE, batch, objects

HEADS = ["fcos", "retinanet", "faster_rcnn", "mask_rcnn"]
SOME = [pytest.param(head, marks=[] if head in ("fcos", "mask_rcnn") else pytest.mark.thorough) for head in HEADS]
"""Of every kind of loss one by default: Mask R-CNN has the parts of Faster R-CNN."""
PARTS = [slice(0, 1), slice(1, 2), slice(2, 5)]


def built(head: str, name: str = "test_resnet") -> Backbone:
    torch.manual_seed(1)
    config = ModelConfig.model_validate({"name": name, "weights": "none", "head": head, "neck": {"channels": 32}})
    backbone = (instances if head == "mask_rcnn" else network).build(config, ["a", "b", "c"])
    apply_freeze(backbone, len(backbone.stages))
    backbone.module.train()
    return backbone


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("head", SOME)
def test_the_loss_and_gradients_of_parts_add_up_to_those_of_the_batch(head: str, images: torch.Tensor) -> None:
    module, truth, ids = built(head).module, batch(), torch.arange(7, 12)
    whole = module(images, truth, ids)
    whole.backward()
    gradients = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad(set_to_none=True)
    losses = [module(images[part], truth[part], ids[part]) for part in PARTS]
    assert sum(float(loss.detach()) for loss in losses) == pytest.approx(float(whole.detach()), rel=1e-5)
    torch.stack(losses).sum().backward()
    for parameter, gradient in zip(module.parameters(), gradients, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-4, atol=1e-4 * float(gradient.abs().max()))


@pytest.mark.parametrize("head", HEADS)
def test_a_batch_without_objects_gives_each_parameter_a_gradient(head: str, images: torch.Tensor) -> None:
    module = built(head).module
    empty = ObjectBatch((objects([], []), objects([], [])), SIZE)
    loss = module(images[:2], empty, torch.arange(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("head", HEADS)
def test_what_is_found_lies_in_the_view_the_best_first(head: str, images: torch.Tensor) -> None:
    module = built(head).module.eval()
    with torch.no_grad():
        found = module(images[:2]).decode(Limits(score=0.0, max_detections=30))
    for one in found:
        assert 0 < len(one.boxes) <= 30
        assert (one.boxes >= 0).all() and (one.boxes <= torch.tensor([128, 96, 128, 96])).all()
        assert (one.boxes[:, 2:] >= one.boxes[:, :2]).all()
        assert (one.scores.diff() <= 0).all() and ((one.scores >= 0) & (one.scores <= 1)).all()
        assert ((one.labels >= 0) & (one.labels < 3)).all()
        assert (one.masks is None) == (head != "mask_rcnn")
        if one.masks is not None:
            assert one.masks.shape == (len(one.boxes), *SIZE)


@pytest.mark.parametrize("head", SOME)
def test_nothing_is_found_above_a_score_of_one(head: str, images: torch.Tensor) -> None:
    module = built(head).module.eval()
    with torch.no_grad():
        (found,) = module(images[:1]).decode(Limits(score=1.0))
    assert len(found.boxes) == len(found.labels) == len(found.scores) == 0


@pytest.mark.thorough
@pytest.mark.parametrize("head", ["fcos", "mask_rcnn"])
def test_an_image_is_learned_in_a_few_steps(head: str) -> None:
    module, truth = built(head).module, ObjectBatch((objects([[20, 16, 84, 70]], [1]),), SIZE)
    image = torch.zeros(1, 3, *SIZE)
    image[:, :, 16:70, 20:84] = 2.0
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = module(image, truth, torch.zeros(1, dtype=torch.int64)) / max(network.normalizer(head, truth) or 1, 1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        (found,) = module.eval()(image).decode(Limits())
    assert losses[-1] < 0.5 * losses[0]
    assert found.labels[0] == 1
    assert box_iou(found.boxes[:1], truth.views[0].boxes) > 0.6
    if found.masks is not None:
        own, wanted = found.masks[0] > 0.5, truth.views[0].masks[0] > 0
        assert (own & wanted).sum() / (own | wanted).sum() > 0.6


def test_the_samples_of_an_image_change_with_its_id_and_boxes_but_not_with_the_generator(images: torch.Tensor) -> None:
    module, truth = built("faster_rcnn").module, batch()[:1]

    def loss(sample: int, boxes: ObjectBatch = truth) -> float:
        with torch.no_grad():
            return float(module(images[:1], boxes, torch.tensor([sample])))

    first = loss(1)
    torch.manual_seed(5)
    assert loss(1) == first != loss(2)


def test_fcos_is_divided_by_the_cells_with_an_object_and_the_others_by_their_images() -> None:
    assert network.normalizer("fcos", batch()) == 23
    assert network.normalizer("retinanet", batch()) is None


@pytest.mark.parametrize("build", [network.build, instances.build])
def test_an_unknown_head_is_an_error(build: object) -> None:
    with pytest.raises(ConfigError, match=r"model.head: \w+ has no head 'yolo'; expected "):
        build(ModelConfig(name="test_resnet", head="yolo"), ["a"])  # type: ignore[operator]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["test_vit", "convnext_atto", "swin_tiny_patch4_window7_224", "torchvision:swin_t"])
@pytest.mark.parametrize("head", HEADS)
def test_heads_work_on_every_kind_of_backbone(name: str, head: str, images: torch.Tensor) -> None:
    module = built(head, name).module
    module(images, batch(), torch.arange(5)).backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []
    with torch.no_grad():
        assert len(module.eval()(images[:1]).decode(Limits(0.0))) == 1
