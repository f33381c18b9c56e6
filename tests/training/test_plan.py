"""The errors of a plan before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import ConfigError, ModelError, UserError
from raytl.training.driver import plan
from tests.training.conftest import MakeExperiment


def test_problems_of_data_and_model_come_at_once(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    experiment = make_experiment({"data.uri": str(tmp_path / "nowhere"), "model.name": "test_resnext_9"})
    with pytest.raises(UserError, match=r"(?s)test_resnext_9.*nowhere|nowhere.*test_resnext_9"):
        plan(experiment)


def test_more_workers_than_images_in_a_batch_are_refused(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"compute.cluster": "local", "compute.workers": 8, "train.batch_size": 8}, per_class=5)
    with pytest.raises(ConfigError, match=r"batches of \d images .* are too small for compute.workers 8"):
        plan(experiment)


def test_an_unfreeze_depth_beyond_the_stages_lists_them(make_experiment: MakeExperiment) -> None:
    with pytest.raises(ModelError, match="(?s)found 99.*5 stages.*layer4.*stem"):
        plan(make_experiment({"transfer.unfreeze": 99}))
