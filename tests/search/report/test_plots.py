"""The charts of a sweep, narrow and wide."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.config.space import Space, space_of
from raytl.pages.figures import NARROW_IN, WIDE_IN, Draw, png
from raytl.search.record import TrialRecord
from raytl.search.report import plots
from tests.figures import faults

KEY, METRIC = "transfer.unfreeze", "val/balanced_accuracy"


def space(**search: Any) -> Space:
    base = {"name": "x", "data": {"uri": "d"}, "model": {"name": "resnet18"}, "search": search}
    return space_of(Experiment.model_validate(base)).resolved(5)


def trials(count: int) -> list[TrialRecord]:
    return [
        TrialRecord(
            n, "complete" if n % 3 else "pruned",
            {
                KEY: n % 5, **({"transfer.lr_decay": 0.3 + n % 7 / 10} if n % 5 else {}), "transfer.head_lr_ratio": 1.0 + 9 * n,
                "augment.strength": n % 5 / 4, "optim.lr": 1e-4 * 1.3**n, "optim.weight_decay": 0.001 * (n + 1),
            },
            (0.5 + n / 100,), 1, tuple((epoch, 0.4 + epoch * n / 500) for epoch in range(1, 7)), 10.0 * n + 1, 10 ** (n % 4 + 3),
        )
        for n in range(count)
    ]  # fmt: skip


def charts(records: list[TrialRecord]) -> dict[str, Draw]:
    weights = {dimension.key: 0.4 / (place + 1) for place, dimension in enumerate(space().dimensions)}
    return {
        "history": partial(plots.history, records=records, metric=METRIC),
        "curves": partial(plots.curves, records=records, metric=METRIC),
        "importance": partial(plots.importance, importances=weights),
        "slices": partial(plots.slices, records=records, space=space(), metric=METRIC),
        "dimensions": partial(plots.dimensions, records=records, space=space(), metric=METRIC),
        "cost": partial(plots.cost, records=records, metric=METRIC),
    }


@pytest.mark.parametrize("width", [NARROW_IN, WIDE_IN], ids=["narrow", "wide"])
@pytest.mark.parametrize("name", list(charts([])))
def test_labels_do_not_touch_axes_have_titles_and_colors_are_explained(
    name: str, width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults(charts(trials(16))[name](width), monkeypatch) == []


def test_a_touching_label_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = plots.history(NARROW_IN, trials(4), METRIC)
    figure.text(0.5, 0.5, "one")
    figure.text(0.5, 0.51, "other")
    assert faults(figure, monkeypatch) == ["'one' and 'other' touch"]


@pytest.mark.parametrize("values", [[0, 1, 3], [0, "all", 2], ["all", "all", "all"]])
def test_every_kind_of_value_is_drawn(values: list[Any]) -> None:
    drawn = space(space={KEY: {"choice": [0, 1, 2, 3, "all"]}})
    records = [TrialRecord(n, "complete", {KEY: v}, (0.5 + n / 10,), 1, ((1, 0.5),)) for n, v in enumerate(values)]
    assert png(plots.slices(NARROW_IN, records, drawn, METRIC))
    assert png(plots.dimensions(NARROW_IN, records, drawn, METRIC))


def test_a_choice_of_words_that_no_trial_used_is_drawn() -> None:
    words = {"choice": ["sgd", "adamw"], "when": f"{KEY} > 1"}
    drawn = space(space={KEY: {"int": [0, 2]}, "optim.name": words})
    records = [TrialRecord(0, "complete", {KEY: 1}, (0.5,), 1, ((1, 0.5),))]
    assert plots.slices(NARROW_IN, records, drawn, METRIC) and plots.dimensions(NARROW_IN, records, drawn, METRIC)


@pytest.mark.thorough
@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_sweep_of_any_length_is_drawn(count: int) -> None:
    assert all(png(draw(NARROW_IN)) for draw in charts(trials(count)).values())


def test_an_axis_of_scores_has_its_unit() -> None:
    assert plots.axis_title("val/map") == "val/map (0 to 1)"
    assert plots.axis_title("val/log_loss") == "val/log_loss (nats)"
    assert plots.axis_title("cost/train_seconds") == "cost/train_seconds (s)"
