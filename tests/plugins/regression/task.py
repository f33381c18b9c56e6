from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.augment import TrainAugment
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.models import backbone as backbones
from raytl.models.backbone import Backbone
from raytl.models.heads import inherit
from raytl.models.probe import head_layer
from raytl.store.s3_settings import S3Settings
from raytl.tasks.objects import Limits
from raytl.tasks.options import Rule, check
from raytl.tasks.recipe import NO_RECIPE
from raytl.tasks.task import Confusion, Rows, Validation

RULES = (
    Rule("train.loss", ("cross_entropy",), "the loss is the squared error; leave it out"),
    Rule("train.sampler", ("shuffle",), "there are no classes to balance; set it to shuffle"),
    Rule("train.class_weights", ("none",), "there are no classes to weigh; set it to none"),
    Rule("augment.mixup", (0,), "mixing is not supported; set it to 0"),
    Rule("augment.cutmix", (0,), "mixing is not supported; set it to 0"),
    Rule("transfer.head_start", ("zero",), "set it to zero"),
    Rule("search.linear_probe", (False,), "set it to false"),
)


def number(sample: Sample) -> float:
    """Return the label of a sample, which is the text of the column `label`, as a number; NaN if it is none."""
    try:
        return float(sample.target) if isinstance(sample.target, str) else math.nan
    except ValueError:
        return math.nan


def numbers(samples: Sequence[Sample]) -> NDArray[np.float32]:
    return np.array([number(sample) for sample in samples], dtype=np.float32)


@dataclass(frozen=True)
class Numbers:
    """The encoder: a number does not change with the view."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    def view(self, i: int, augment: Any, draw: Any, prepared: tuple[int, int]) -> float:
        return float(self.values[i])

    def size(self, i: int) -> tuple[int, int]:
        return 0, 0

    def truth(self, i: int) -> float:
        return float(self.values[i])

    def collate(self, targets: Sequence[float]) -> Tensor:
        return torch.tensor(targets, dtype=torch.float32)


@dataclass(frozen=True)
class SquaredError:
    """The objective: the squared error in units of the variance of the training images."""

    variance: float

    def normalizer(self, targets: Tensor) -> None:
        return None

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        values = forward(inputs).float().flatten()
        return (values - targets.to(values.device)).square().sum() / self.variance


class Regression:
    name = "regression"
    metrics = ("mean_absolute_error", "r2")
    tie_breaker = "mean_absolute_error"
    target_types = (str,)
    defaults: Mapping[str, Any] = {
        "train.metric": "val/mean_absolute_error",
        "search.metric": "val/mean_absolute_error",
        "search.linear_probe": False,
    }
    calibration = None
    explaining = None
    exporting = None
    head_solver = None
    recipe = NO_RECIPE
    sections: tuple[str, ...] = ()
    findings = None
    limits = None
    reporting = None

    def classes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        wrong = [f"{sample.key}: {sample.target!r}" for sample in samples if math.isnan(number(sample))]
        if wrong:
            raise DataError(f"{len(wrong)} labels are not numbers; expected text such as 12.5: {', '.join(wrong[:10])}")
        return ("value",)

    def check(self, experiment: Experiment) -> None:
        check(experiment, RULES)

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess
    ) -> Numbers:
        return Numbers(numbers(samples))

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        return np.ones(len(samples))

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int]) -> Tensor:
        return torch.zeros(count)

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> TrainAugment:
        return TrainAugment(config, preprocess)

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        return backbones.preprocess_of(config, s3)

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        return backbones.build(config, 1, s3)

    @torch.no_grad()
    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        layer = head_layer(backbone)
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.fill_(float(numbers(train).mean()))

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        return inherit(backbone, source, classes, s3)

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> SquaredError:
        return SquaredError(max(float(numbers(train).var()), 1e-12))

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
    ) -> list[Any]:
        values: Tensor = module(inputs)
        return values.float().flatten().tolist()

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        return (np.array(answers, dtype=np.float64),)

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        values = np.array(list(truths))
        errors = rows[0] - values
        spread = float(((values - values.mean()) ** 2).sum())
        return Validation(
            metrics={
                "val/mean_absolute_error": float(np.abs(errors).mean()),
                "val/r2": 1 - float((errors**2).sum()) / spread if spread else math.nan,
            },
            confusion=Confusion(("value",), np.array([[len(values)]])),
        )


TASK = Regression()
