"""The step `few.method`, on features instead of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.errors import ConfigError
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.few import label_few
from raytl.labelling.unlabelled import UnlabelledImages
from tests.labelling.blobs import blobs

CLASSES = ("a", "b", "c")
FEATURES, TRUTH = blobs(40, count=3, spread=1.0)


def samples(first: int, last: int, prefix: str = "", labelled: bool = True) -> list[Sample]:
    names = [CLASSES[TRUTH[i]] if labelled else None for i in range(first, last)]
    return [
        Sample(f"{prefix}{i:03}", f"/{i}", name, "train", f"{i:064x}")
        for i, name in zip(range(first, last), names, strict=True)
    ]


@dataclass
class Inputs:
    """What the step reads of `LabelInputs`; `spied` are the keys of the images whose labels it read."""

    few: dict[str, Any]
    solver: Any = None
    classes: tuple[str, ...] = CLASSES
    train: Sequence[Sample] = field(default_factory=lambda: samples(0, 9))
    val: Sequence[Sample] = field(default_factory=lambda: samples(9, 39))
    spied: set[str] = field(default_factory=set)

    @property
    def experiment(self) -> Experiment:
        data = {"uri": "own/", "unlabelled": "all/"}
        return Experiment(name="few", data=data, model="m", few={"method": "propagate", **self.few})

    @property
    def task(self) -> Any:
        return SimpleNamespace(head_solver=self.solver or SimpleNamespace(targets_of=self._targets))

    def _targets(self, images: Sequence[Sample], classes: Sequence[str]) -> np.ndarray:
        self.spied |= {each.key for each in images}
        return np.array([classes.index(each.label) for each in images])

    @property
    def unlabelled(self) -> UnlabelledImages:
        table = SampleTable.of(samples(39, 120, "data.unlabelled:", labelled=False))
        return UnlabelledImages(table, "0" * 64, ("81 images",))

    def features(self, images: Sequence[Sample]) -> torch.Tensor:
        return torch.from_numpy(FEATURES[[int(each.path[1:]) for each in images]])


def step(inputs: Inputs, method: str, change: TrainChange = UNCHANGED) -> TrainChange:
    return label_few(inputs, method, change)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["propagate", "pseudo"])
def test_images_without_labels_become_training_images(method: str) -> None:
    inputs = Inputs({"fraction": 0.5})
    change = step(inputs, method)
    added = list(change.added)
    assert 40 <= len(added) <= 43
    truth = [CLASSES[TRUTH[int(each.path[1:])]] for each in added]
    assert [each.target for each in added] == truth
    assert {each.split for each in added} == {"train"}
    assert {change.reasons[each.key].by for each in added} == {f"few.method: {method}"}
    assert all(0 < (change.reasons[each.key].confidence or 0) <= 1 for each in added)
    assert change.notes[0] == "81 images"
    assert f"few.method {method}: {len(added)} of 81 unlabelled images join" in change.notes[1]
    assert inputs.spied == {each.key for each in inputs.train}, "validation labels give no label"
    assert len(change.applied(inputs.train)) == 9 + len(added)


def test_earlier_changes_stay_and_images_left_out_teach_nothing() -> None:
    inputs = Inputs({})
    before = TrainChange(frozenset({"000"}), (), ("noise",))
    change = step(inputs, "propagate", before)
    assert change.left_out == {"000"}
    assert change.notes[0] == "noise"
    assert "000" not in inputs.spied
    assert "000" not in {each.key for each in change.applied(inputs.train)}


def test_a_confidence_that_keeps_nothing_is_an_error() -> None:
    match = r"few\.min_confidence: no label that few\.method pseudo gives reaches 1; expected some of 81 images"
    with pytest.raises(ConfigError, match=match):
        step(Inputs({"min_confidence": 1.0}), "pseudo")


def test_auto_says_what_it_measured_and_adds_nothing_without_a_gain() -> None:
    change = step(Inputs({"method": "auto"}), "auto")
    assert not change.added
    assert change.notes[-1].startswith("few.method auto: none, by balanced accuracy on 39 labelled images")


def test_auto_with_a_confidence_that_keeps_nothing_is_none() -> None:
    assert not step(Inputs({"method": "auto", "min_confidence": 1.0}), "auto").added


def test_a_task_without_single_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"few\.method: task classification has no single class an image"):
        step(Inputs({}, solver=SimpleNamespace(targets_of=None)), "propagate")
