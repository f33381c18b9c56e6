"""One process of the sweep bench: the sweep of a contender, or the refit of its winner and its test score."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from experiments.bench.tune_setup import Setup


def raytl_sweep(setup: Setup, overrides: dict[str, Any]) -> dict[str, Any]:
    """Run what `raytl tune` does; its time ends with its last trial, as for the others, because the refit counts as part of the test."""
    from experiments.bench.tune import experiment_of
    from raytl import load_experiment
    from raytl.eager import defer_compiler
    from raytl.events import Event, Message, TrialChanged
    from raytl.gc_pause import importing
    from raytl.search.early import early_trials

    if overrides.get("RAYTL_BENCH_REUSE") == "0":
        never_reuse()
    if overrides.get("RAYTL_BENCH_STARTUP") == "uniform":
        start_anywhere()
    times: list[float] = []

    def hear(event: Event) -> None:
        now = time.time() - setup.began
        if isinstance(event, Message):
            print(f"{now:7.1f} {event.text}", flush=True)
        if not isinstance(event, TrialChanged):
            return
        times.append(now)
        print(f"{now:7.1f} trial {event.number} {event.state} {event.epoch} {event.value} {event.features}", flush=True)
        if event.value is not None and event.state == "running":
            line = json.dumps({"s": now, "epoch": event.epoch, "score": event.value})
            with Path(setup.folder, "epochs.jsonl").open("a", encoding="utf-8") as log:
                log.write(line + "\n")

    experiment = load_experiment(experiment_of(setup, overrides))
    defer_compiler()  # this and what follows as the command does, before it imports torch
    with early_trials(experiment):
        with importing():
            from raytl.search.driver import tune

        result = tune(experiment, on_event=hear)
    return {"overrides": result.overrides, "trials": sum(result.trials.values()), "seconds": times[-1]}


def never_reuse() -> None:
    """Configure Ray Tune to start a new process for each trial."""
    from ray import tune

    usual = tune.TuneConfig

    def config(**given: Any) -> Any:
        return usual(**{**given, "reuse_actors": False})

    tune.TuneConfig = config  # type: ignore[assignment,misc]


def start_anywhere() -> None:
    """Draw the first suggestions from the whole space, ten as Optuna does, and let TPE call a tenth of the trials good."""
    from optuna.samplers._tpe.sampler import default_gamma

    from raytl.search import guided, near, suggest

    def anywhere(space: Any, base: Any, _: Any, number: int, seed: int) -> Any:
        return near.nearby(space, base, {}, number, seed)

    vars(guided)["nearby"] = anywhere
    vars(suggest).update(STARTUP=10, _good=default_gamma)


def raytl_test(setup: Setup) -> float:
    """Return the test score of the refitted winner."""
    from raytl import evaluate

    report = evaluate(str(Path(setup.folder, "bench-winner")))
    return float(report.estimates.overall["balanced_accuracy"].value)


def main() -> None:
    """Run the sweep or the refit that the argument names."""
    given = json.loads(sys.argv[1])
    setup, overrides = Setup(**given["setup"]), given["overrides"]
    folder = Path(setup.folder)
    if given["verb"] == "refit":
        if setup.contender == "raytl":
            score = raytl_test(setup)
        else:
            from experiments.bench.tune_peer import train

            score = train(overrides, setup, lambda _: None, evaluate=True)
        (folder / "test.json").write_text(json.dumps(score), encoding="utf-8")
        return
    if setup.contender == "raytl":
        done = raytl_sweep(setup, overrides)
    else:
        from experiments.bench.tune_peer import search

        done = search(setup, nested=setup.contender == "nested")
    (folder / "done.json").write_text(json.dumps(done), encoding="utf-8")


if __name__ == "__main__":
    main()
