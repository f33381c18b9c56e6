"""The experiment of a challenger."""

from __future__ import annotations

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.retraining.recipe import challenger_experiment


def test_a_challenger_warms_up_only_if_it_does_not_start_from_the_champion() -> None:
    warm = Experiment(
        name="a", data="x", model="m", warmup={"method": "simclr", "epochs": 3}, adapt={"target": "t"}, recipe="none"
    )

    def of(start: str | None) -> Experiment:
        return challenger_experiment(warm, warm, name="b", start=start, split_file="s", snapshot="0" * 8, turn=1)

    assert of(None).warmup == warm.warmup and of(None).adapt.target == "t"
    assert of("models:m@1").warmup.method == "none" and of("models:m@1").adapt.target is None


def test_a_challenger_has_the_auxiliary_heads_of_the_champion_or_of_the_file() -> None:
    plain = Experiment(name="a", data="x", model="m", augment={"rotate90": True}, recipe="none")
    turning = Experiment(name="a", data="x", model="m", auxiliary={"rotation": 0.1}, recipe="none")

    def of(experiment: Experiment, champion: Experiment, recipe: str) -> float:
        given = override(experiment, {"retrain.how.recipe": recipe})
        made = challenger_experiment(given, champion, name="b", start=None, split_file="s", snapshot="0" * 8, turn=1)
        return made.auxiliary.rotation

    assert (of(plain, turning, "champion"), of(turning, plain, "champion")) == (0.1, 0)
    assert (of(plain, turning, "experiment"), of(turning, plain, "experiment")) == (0, 0.1)
