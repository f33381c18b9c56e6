"""The charts of a sweep as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.config.space import space_of
from raytl.search.record import TrialRecord
from raytl.search.report import pictures

KEY = "transfer.unfreeze"


@pytest.mark.parametrize("values", [[0, 1, 3], [0, "all", 2], ["all", "all", "all"]])
def test_every_kind_of_value_is_drawn(values: list[Any], tmp_path: Path) -> None:
    search = {"space": {KEY: {"choice": [0, 1, 2, 3, "all"]}}}
    base = {"name": "x", "data": {"uri": "d"}, "model": {"name": "resnet18"}, "search": search}
    space = space_of(Experiment.model_validate(base)).resolved(5)
    records = [TrialRecord(n, "complete", {KEY: v}, (0.5 + n / 10,), 1, ((1, 0.5),)) for n, v in enumerate(values)]
    pictures.write(tmp_path, records, space, {KEY: 1.0}, "val/accuracy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cost.png", "curves.png", "history.png", "importance.png", "slices.png",
    ]  # fmt: skip
