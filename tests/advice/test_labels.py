"""What `raytl labels` refuses before it ranks anything."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from raytl.advice import labels
from raytl.advice.labels import doubtful_labels
from raytl.config.schema import Experiment
from raytl.data.sample_table import SampleTable
from raytl.errors import DataError
from raytl.events import ignore
from raytl.labelling import sheet
from tests.labelling.test_doubtful import CLASSES, drawn, samples


@pytest.mark.parametrize("out", ["mine.csv", "mine.csv/labels"])
def test_a_file_in_place_of_the_folder_is_an_error_before_the_data_is_read(tmp_path: Path, out: str) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    experiment = Experiment(name="x", data=str(tmp_path / "gone"), model="m")
    with pytest.raises(DataError, match=r"mine\.csv is a file; expected a folder, to which doubtful-labels\.csv"):
        doubtful_labels(experiment, out=tmp_path / out)


def test_a_filled_table_is_found_before_the_data_is_read(tmp_path: Path) -> None:
    (tmp_path / sheet.TABLE).write_text(",".join(sheet.HEAD) + "\na.jpg,train,a,b,0.1,0.5,b,me,seen\n")
    experiment = Experiment(name="x", data=str(tmp_path / "gone"), model="m")
    with pytest.raises(DataError, match="has 1 label that would be lost"):
        doubtful_labels(experiment, out=tmp_path)


def test_a_network_that_cannot_tell_the_classes_is_not_named_as_used(monkeypatch: pytest.MonkeyPatch) -> None:
    features, given, _ = drawn(0)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(features.shape)).astype(np.float32))
    train = SampleTable.of(samples(given))
    splits = SimpleNamespace(train=train, val=train.take(np.arange(0)), classes=CLASSES)
    dataset: Any = SimpleNamespace(splits=splits, depth=SimpleNamespace(depth=None))
    solver: Any = SimpleNamespace(targets_of=lambda *_: given)
    monkeypatch.setattr(labels, "photo_groups", lambda *_: np.arange(len(given)))
    read = labels._Read(dataset, [noise, features], [noise[:0], features[:0]])
    experiment = Experiment(name="x", data="photos", model="m")
    result = labels._ranked(experiment, solver, read, ["poor", "good"], ignore)
    assert (result.trusted, result.networks) == (True, ("good",))
    assert result.notes == ("not used, as a classifier of the features is wrong too often: poor",)
