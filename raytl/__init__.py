"""raytl: distributed transfer learning for vision on Ray.

    from raytl import load_experiment, train, evaluate, predict

    experiment = load_experiment("experiments/trash-mobilenetv2.yaml", ["transfer.unfreeze=3"])
    result = train(experiment)
    print(evaluate(result.run).metrics["accuracy"])

The map, from the top floor down; a module imports only from floors below its own:

    12  cli                    one file per verb
    11  starter  catalog       from images alone to an experiment; the runs below a URI, and how two of them differ
    10  retrain                one tick: observe, decide, train, compare, promote or keep
     9  search                 sweeps: the Optuna study, Tune's executor, cached prefixes, the winner and its report
     8  training   evaluation  the loop and its driver; the locked test, reports and predictions
     7  tasks                  classification: loss, class imbalance, which score is better
     6  models                 backbones, stages, freezing, rates, saved models
     5  data  metrics  doctor  layouts, splits, decoding, augmentation, batches; scores and intervals; diagnostics
     4  run                    the run folder and its copy in a store
     3  registry               published versions, their aliases and history
     2  store  cluster         local and S3 objects; Ray
        jobs   kube            submitted jobs; Kubernetes manifests
     1  config                 the experiment file
     0  errors  events  world  and worker_status, throttle, stored, sanitize, redaction, disk, uris

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
