"""The model in memory answers changed images in their order, however many threads share them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytl.assessment.collect import Source
from raytl.assessment.live import Model
from raytl.config.machine import Machine
from raytl.config.stored import stored_experiment
from raytl.events import ignore
from raytl.models.card import read_card
from raytl.models.forward import EVAL_BATCH
from raytl.run import RunFolder
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings


@pytest.fixture
def model(evaluated_run: RunFolder) -> Model:
    store = RunStore.open(str(evaluated_run.root), S3Settings())
    recipe = stored_experiment(evaluated_run.experiment).recipe
    return Model(Source(store, recipe, read_card(evaluated_run.best), Machine(), ignore))


def test_answers_are_in_the_order_of_the_images(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    views = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    alone = np.concatenate([model.probabilities(view[None]) for view in views])
    monkeypatch.setitem(EVAL_BATCH, "cpu", 1)
    torch.set_num_threads(4)
    try:
        np.testing.assert_allclose(model.probabilities(views), alone, atol=0.01)
    finally:
        torch.set_num_threads(1)
