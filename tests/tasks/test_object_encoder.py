"""Batches of objects are tensors of the views, and can be sliced."""

from __future__ import annotations

import numpy as np
import torch

from raytl.config.schema import AugmentConfig
from raytl.data.loader import TrainLoader
from raytl.data.manifest import Sample
from raytl.data.scene_augment import SceneAugment
from raytl.data.targets import Box, Boxes, Instances
from raytl.data.transforms import Preprocess
from raytl.tasks.object_encoder import object_encoder
from raytl.world import World
from tests.data.test_object_targets import instance

FRAME = Preprocess(32, 32, "center", "bilinear", (0.5,) * 3, (0.2,) * 3).fit((48, 32))


def test_a_loaders_batch_of_boxes_has_the_objects_of_each_view() -> None:
    boxes = [Boxes(48, 32, (Box("dog", 1, 2, 9, 30),)), Boxes(48, 32, ())]
    samples = [Sample(f"{number}.png", "", target) for number, target in enumerate(boxes)]
    augment = SceneAugment(AugmentConfig(strength=0, hflip=False), FRAME)
    encoder = object_encoder(samples, ("cat", "dog"), FRAME)
    images = [np.zeros((32, 48, 3), np.uint8)] * 2
    loader = TrainLoader(images, encoder, augment, batch=2, seed=0, world=World.solo())
    ((batch, _),) = loader.epoch(0)
    objects = batch.targets
    assert (len(objects), objects.size) == (2, (32, 48))
    dog = objects.views[batch.ids.tolist().index(0)]
    assert (dog.boxes.tolist(), dog.labels.tolist(), dog.crowd.tolist(), dog.masks) == (
        [[1, 2, 9, 30]],
        [1],
        [False],
        None,
    )
    assert [len(part.views) for part in (objects[:1], objects[1:])] == [1, 1]


def test_masks_are_tensors_of_the_size_of_the_view() -> None:
    target = Instances(48, 32, (instance(32, 48, (1, 2, 9, 30)),))
    augment = SceneAugment(AugmentConfig(strength=0, hflip=False), FRAME)
    encoder = object_encoder([Sample("a.png", "", target)], ("dog",), FRAME, with_masks=True)
    view = encoder.view(0, augment, augment.draw(32, 48, np.random.default_rng(0)), (32, 48))
    (objects,) = encoder.collate([view]).views
    assert objects.masks is not None
    assert (objects.masks.shape, objects.masks.dtype, int(objects.masks.sum())) == ((1, 32, 48), torch.uint8, 8 * 28)
