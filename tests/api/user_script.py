"""What a user writes, for the strict type checker of `make lint`, which fails if a line with a mistake has none."""

from __future__ import annotations

import numpy as np

import raytl


def watch(event: raytl.Event) -> None:
    """Hear what happens."""
    print(event)


def script() -> None:
    """Train, evaluate, predict and tune; every value that is returned has its type."""
    exp = raytl.Experiment(name="trash", data="photos/", model="mobilenetv2_100", transfer={"unfreeze": 3})
    run: raytl.Run = raytl.train(exp, progress=False)
    accuracy: float = run.metrics["val/accuracy"]
    report: raytl.Report = run.evaluate()
    low: float = report.estimates.overall["accuracy"].low
    model = raytl.load(run, device="cpu")
    one: raytl.Prediction = model.predict(np.zeros((8, 8, 3), np.uint8))
    several: list[raytl.Prediction] = model.predict(["a.jpg", "b.jpg"])
    best: str = one.ranked[0][0]
    sweep = raytl.tune(exp, trials=32)
    value: float | None = sweep.best.value
    again: raytl.Report = sweep.winner.evaluate(split="val")
    raytl.train("photos/", "mobilenetv2_100", overrides={"train.epochs": 3}, on_event=watch)
    print(accuracy, low, several, best, value, again)


def mistakes() -> None:
    """Call with the wrong types: without an error in each line, its comment is one."""
    raytl.train(3)  # type: ignore[arg-type]
    raytl.Experiment(name="x", data=5, model="m")  # type: ignore[arg-type]
