"""A resumed run has the label changes that it began with, or says that it has others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.errors import RunError
from raytl.labelling.change import TrainChange
from raytl.labelling.settings import settings_of
from raytl.run.atomic import write_json
from raytl.run.folder import RunFolder
from raytl.training.driver import _check_data, _label_changes

EXPERIMENT = Experiment(name="x", data="own/", model="m", labels={"noise": "leave_out"})
BEGAN = TrainChange(frozenset({"cat/1.jpg"}))


def planned(*changes: TrainChange) -> Any:
    depth = SimpleNamespace(depth=SimpleNamespace(bits=8), reason="")
    dataset = SimpleNamespace(digest="abc", depth=depth, splits=SimpleNamespace(train=()))
    own = {settings_of(EXPERIMENT): change for change in changes}
    return SimpleNamespace(experiment=EXPERIMENT, changes=own, dataset=dataset, sources=SimpleNamespace(digests={}))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    write_json(folder.provenance, {"dataset": "abc", "bit_depth": 8, "label_changes": _label_changes(planned(BEGAN))})
    return folder


def test_the_same_changes_resume(folder: RunFolder) -> None:
    _check_data(folder, planned(TrainChange(frozenset({"cat/1.jpg"}), notes=("said again",))))


@pytest.mark.parametrize("now", [(), (TrainChange(),), (TrainChange(frozenset({"cat/2.jpg"})),)])
def test_other_changes_are_an_error(folder: RunFolder, now: tuple[TrainChange, ...]) -> None:
    with pytest.raises(RunError, match=r"(?s)label-changes\.json is missing or was edited.*Restore it.*--new"):
        _check_data(folder, planned(*now))
