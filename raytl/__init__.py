"""raytl: distributed transfer learning for vision on Ray.

    from raytl import load_experiment, train, evaluate, predict

    experiment = load_experiment("experiments/trash-mobilenetv2.yaml", ["transfer.unfreeze=3"])
    result = train(experiment)
    print(evaluate(result.run).metrics["accuracy"])

The map, from the top floor down; a module imports only from floors below its own:

    8  cli                    one file a verb
    7  retrain                one tick: look, decide, train, compare, promote or keep
    6  search                 sweeps: Optuna's study, Tune's engine, shared prefixes, the winner and its report
    5  training   evaluation  the loop and its driver; the locked test, reports and predictions
    4  tasks                  classification: loss, class imbalance, what is better
       models                 backbones, stages, freezing, rates, saved models
    3  data       metrics     layouts, splits, decoding, augmentation, batches; scores and intervals
    2  cluster    run  store  Ray; the run folder; local and S3 objects
       registry               published versions, their aliases and history
    1  config                 the experiment file
    0  errors, events, world, worker_status

Nothing here imports torch or ray until it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raytl.config.load import load_experiment, load_machine
    from raytl.evaluation.evaluate import evaluate
    from raytl.evaluation.predict import predict
    from raytl.retrain.tick import retrain
    from raytl.search.driver import plan_sweep, tune
    from raytl.training.driver import plan, train

__all__ = ["evaluate", "load_experiment", "load_machine", "plan", "plan_sweep", "predict", "retrain", "train", "tune"]

_WHERE = {
    "load_experiment": "raytl.config.load",
    "load_machine": "raytl.config.load",
    "train": "raytl.training.driver",
    "plan": "raytl.training.driver",
    "evaluate": "raytl.evaluation.evaluate",
    "predict": "raytl.evaluation.predict",
    "tune": "raytl.search.driver",
    "plan_sweep": "raytl.search.driver",
    "retrain": "raytl.retrain.tick",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'raytl' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value
