"""Multi-label classification through the contract: built, trained, validated and saved by a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.data.targets import Labels
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError
from raytl.events import ignore
from raytl.models.probe import head_layer
from raytl.run import journal
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.defaults import completed
from raytl.tasks.multilabel import TASK
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.targets import encode
from raytl.tasks.multilabel.thresholds import thresholds_of
from raytl.tasks.objects import Limits
from raytl.training.job import TrainJob
from raytl.training.worker import LoadedRun, load_run, prepare
from raytl.world import World

PREPROCESS = Preprocess(32, 36, "center", "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
LABELS = ("blue", "green", "red")
PX = 32


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    """Noisy squares with any of three colors, each of which brightens its channel; some labels are unknown."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("squares")
    return tuple(_sample(rng, folder / f"{number}.png") for number in range(48))


def _sample(rng: np.random.Generator, path: Path) -> Sample:
    present = rng.random(3) < 0.4
    pixels = rng.integers(40, 90, (PX, PX, 3)) + 120 * present[::-1]
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    unknown = (rng.random(3) < 0.1) & ~present
    names = [tuple(np.array(LABELS)[mask].tolist()) for mask in (present, unknown)]
    return Sample(path.name, str(path), Labels(*names))


def experiment(folder: Path, **sections: Any) -> Experiment:
    base: dict[str, Any] = {
        "name": "toy",
        "task": "multilabel",
        "data": {"uri": "squares", "cache": "off", "loader_workers": 0},
        "model": {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": PX}},
        "augment": {"strength": 0.0, "color": False},
        "optim": {"lr": 0.02},
        "transfer": {"head_first": 0, "unfreeze": "all"},
        "train": {"epochs": 2, "batch_size": 8, "precision": "fp32", "deterministic": True},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": str(folder)},
    }
    return completed(Experiment.model_validate({**base, **{k: {**base[k], **v} for k, v in sections.items()}}))


def loaded(folder: Path, samples: tuple[Sample, ...], **sections: Any) -> LoadedRun:
    job = TrainJob(experiment(folder, **sections), str(folder), samples[:32], samples[32:], TASK.classes(samples[:32]))
    return load_run(World.solo(), job, ignore)


def fitted(folder: Path, samples: tuple[Sample, ...], **sections: Any) -> list[dict[str, Any]]:
    run = loaded(folder, samples, **sections)
    prepared = prepare(run, tensorboard=False)
    try:
        prepared.fit()
    finally:
        prepared.close()
    return journal.read(run.run_store.folder.metrics)


def test_its_defaults_select_by_mean_average_precision(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    assert made.train.metric == made.search.metric == "val/map"


def test_it_rejects_mixed_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="augment.mixup: found 0.5; multilabel expects 0"):
        experiment(tmp_path, augment={"mixup": 0.5})


def test_training_learns_and_saves_the_thresholds_with_the_best_network(
    samples: tuple[Sample, ...], tmp_path: Path
) -> None:
    rows = fitted(tmp_path, samples, train={"loss": "asymmetric", "epochs": 3}, optim={"ema": 0.5})
    assert rows[-1]["val/map"] > 0.9 > 0.5 > rows[-1]["train/loss"] > 0
    saved = load_file(tmp_path / "checkpoints" / "best" / "model.safetensors")
    (name,) = [name for name in saved if name.endswith(".thresholds")]
    assert saved[name].shape == (3,) and not torch.equal(saved[name], torch.full((3,), 0.5))


def test_an_epoch_in_two_micro_batches_is_the_same_epoch(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    options = {"transfer": {"unfreeze": 0}, "augment": {"crop": False, "hflip": False}}
    one, two = (
        fitted(tmp_path / str(n), samples, train={"accumulate": n, "epochs": 1}, **options)[0]["train/loss"]
        for n in (1, 2)
    )
    assert one == pytest.approx(two, abs=1e-6)


def test_a_new_head_predicts_the_frequencies_of_the_labels(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    run = loaded(tmp_path, samples)
    layer = head_layer(run.backbone)
    assert layer.bias is not None
    vectors = encode(samples[:32], LABELS)
    frequencies = [(column[column >= 0] == 1).mean() for column in vectors.T]
    assert layer.weight.count_nonzero() == 0
    assert torch.sigmoid(layer.bias).tolist() == pytest.approx(frequencies, abs=0.03)


def test_a_solved_head_separates_the_labels_before_the_first_step(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    start = {"head_start": "solved", "unfreeze": 0}
    rows = fitted(tmp_path, samples, transfer=start, optim={"lr": 1e-9}, train={"epochs": 1})
    assert rows[0]["val/map"] > 0.9


@pytest.mark.parametrize(("override", "mode"), [({}, "squash"), ({"crop_fraction": 0.9}, "center")])
def test_the_whole_image_is_in_view_unless_a_crop_is_set(override: dict[str, float], mode: str, tmp_path: Path) -> None:
    config = experiment(tmp_path, model={"preprocess": {"image_px": PX, **override}}).model
    preprocess = TASK.preprocess(config, ENVIRONMENT)
    assert preprocess == TASK.build(config, LABELS, ENVIRONMENT).preprocess
    assert (preprocess.crop_mode, preprocess.resize_px) == (mode, 32 if mode == "squash" else 35)


def test_answers_evidence_and_validation_fit_together() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
    module[1].register_buffer("thresholds", torch.tensor([0.3, 0.6]))
    with torch.inference_mode():
        answers = TASK.predict(module.eval(), torch.randn(4, 3, 1, 1), [(1, 1)] * 4, PREPROCESS, Limits())
    assert all(isinstance(each, LabelsAnswer) for each in answers)
    rows = TASK.evidence(answers, [])
    assert [row.shape for row in rows] == [(4, 2), (4, 2)] and rows[1][0].tolist() == pytest.approx([0.3, 0.6])
    assert [len(row) for row in TASK.evidence([], [])] == [0, 0]


def test_validation_gives_every_metric_and_the_thresholds() -> None:
    logits: NDArray[np.float32] = np.array([[2, -3], [1, -1], [-2, 0]], dtype=np.float32)
    truths = [np.array(row, dtype=np.int8) for row in ([1, 0], [0, -1], [0, 1])]
    scored = TASK.validation(truths, (logits, np.full((3, 2), 0.5, np.float32)), ("a", "b"))
    assert set(scored.metrics) == {f"val/{name}" for name in TASK.metrics}
    assert scored.metrics["val/map"] == scored.metrics["val/macro_f1"] == 1.0
    assert (scored.buffers["thresholds"] > 0.25).all()
    assert scored.confusion.counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_blank_batch_fits_the_objective(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    objective = TASK.objective(experiment(tmp_path), LABELS, samples)
    targets = TASK.blank_targets(LABELS, 5, (PX, PX))
    assert objective.normalizer(targets) == 15
    assert objective(lambda inputs: inputs, torch.zeros(5, 3), targets, torch.arange(5)) == pytest.approx(
        15 * np.log(2)
    )


def test_the_weights_of_a_run_start_another_task_with_the_rows_of_shared_labels(
    samples: tuple[Sample, ...], tmp_path: Path
) -> None:
    fitted(tmp_path / "first", samples, train={"epochs": 1})
    again = experiment(tmp_path, model={"weights": str(tmp_path / "first")})
    backbone = TASK.build(again.model, ("green", "new"), ENVIRONMENT)
    assert TASK.inherit_head(backbone, str(tmp_path / "first"), ("green", "new"), ENVIRONMENT) == ("new",)
    assert thresholds_of(backbone.module).tolist() == [0.5, 0.5]
    rows = head_layer(backbone).weight.abs().sum(dim=1)
    assert rows[0] > 0 == rows[1]
