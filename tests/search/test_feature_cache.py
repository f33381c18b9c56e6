"""The feature cache: rows are read only by trials for which they mean the same."""

from __future__ import annotations

import torch

from raytl.config.override import override
from raytl.config.schema import Experiment, ModelConfig, PreprocessOverride
from raytl.events import ignore
from raytl.models.backbone import build
from raytl.models.prefix import split_model
from raytl.search.feature_cache import _Source
from raytl.training.job import TrainJob
from raytl.world import World


def test_rows_of_another_memory_format_have_another_key() -> None:
    config = ModelConfig(name="test_vit", weights="none", preprocess=PreprocessOverride(image_px=32))
    backbone = build(config, 2)
    split = split_model(backbone, 1)
    base = Experiment(name="x", data="own.csv", model=config)

    def key(channels_last: bool | str) -> str:
        job = TrainJob(override(base, {"train.channels_last": channels_last}), "runs", (), (), ("a", "b"))
        return _Source(job, World.solo(), backbone, split, 1, torch.float32, 0, ignore)._key((), {"view": 0}, 1)

    assert key("auto") == key(False) != key(True), "of a vision transformer, auto is contiguous"
