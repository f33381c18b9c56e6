"""One process of the sweep bench: a side's sweep, or its winner trained again and looked at on the test photos."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from experiments.bench.tune_setting import Setting


def raytl_sweep(setting: Setting, overrides: dict[str, Any]) -> dict[str, Any]:
    """`raytl tune`; its time ends with its last trial, as the others' does: the refit is counted with the tests."""
    from experiments.bench.tune import experiment_of
    from raytl import load_experiment
    from raytl.events import Event, Message, TrialChanged
    from raytl.search.driver import tune

    if overrides.get("RAYTL_BENCH_REUSE") == "0":
        never_reuse()
    told: list[float] = []

    def hear(event: Event) -> None:
        now = time.time() - setting.began
        if isinstance(event, Message):
            print(f"{now:7.1f} {event.text}", flush=True)
        if not isinstance(event, TrialChanged):
            return
        told.append(now)
        print(f"{now:7.1f} trial {event.number} {event.state} {event.epoch} {event.value} {event.features}", flush=True)
        if event.value is not None and event.state == "running":
            line = json.dumps({"s": now, "epoch": event.epoch, "score": event.value})
            with Path(setting.folder, "epochs.jsonl").open("a", encoding="utf-8") as log:
                log.write(line + "\n")

    result = tune(load_experiment(experiment_of(setting, overrides)), on_event=hear)
    return {"overrides": result.overrides, "trials": sum(result.trials.values()), "seconds": told[-1]}


def never_reuse() -> None:
    """Tune with a new process for each trial."""
    from ray import tune

    usual = tune.TuneConfig

    def config(**given: Any) -> Any:
        return usual(**{**given, "reuse_actors": False})

    tune.TuneConfig = config  # type: ignore[assignment,misc]


def raytl_test(setting: Setting) -> float:
    """The test score of the run that the sweep refitted."""
    from raytl import evaluate

    found = evaluate(str(Path(setting.folder, "bench-winner")))
    return float(found.estimates.overall["balanced_accuracy"].value)


def main() -> None:
    """Do what the argument says."""
    given = json.loads(sys.argv[1])
    setting, overrides = Setting(**given["setting"]), given["overrides"]
    folder = Path(setting.folder)
    if given["verb"] == "refit":
        if setting.side == "raytl":
            score = raytl_test(setting)
        else:
            from experiments.bench.tune_peer import train

            score = train(overrides, setting, lambda _: None, evaluate=True)
        (folder / "test.json").write_text(json.dumps(score), encoding="utf-8")
        return
    if setting.side == "raytl":
        done = raytl_sweep(setting, overrides)
    else:
        from experiments.bench.tune_peer import search

        done = search(setting, nested=setting.side == "nested")
    (folder / "done.json").write_text(json.dumps(done), encoding="utf-8")


if __name__ == "__main__":
    main()
