"""raytl: distributed transfer learning for vision on Ray.

    import raytl

    exp = raytl.Experiment(name="trash", data="photos/", model="mobilenetv2_100", transfer={"unfreeze": 3})
    run = raytl.train(exp)
    report = run.evaluate()
    model = raytl.load(run)
    model.predict("a.jpg").label
    sweep = raytl.tune(exp, trials=32)

The map, from the top floor down; a module imports only from floors below its own:

    13  api                    this package's functions and results
    12  cli                    one file per verb
     11  advice  catalog        weights compared on images before training; lists of runs and sweeps
     10  retraining  starter    one tick: observe, decide, train, compare, promote or keep; experiments drafted from images
         serving                a bundle behind HTTP, plain or on Ray Serve
      9  assessment             `raytl report`: what can be trusted
         search                 sweeps: the Optuna study, Tune's executor, cached prefixes, the winner and its report
         exporting              bundles behind a parity gate; smaller and faster variants
         batch_inference        predictions over a bucket in parts, with Ray Data
     8  training   evaluation  the loop and its driver; the locked test, reports, predictions, maps
         feedback               what comes back from use: records, images to label, the monitor
     7  tasks                  one package each: targets, network, loss, scores, reports and pictures
     6  models                 backbones, stages, freezing, rates, saved models
         bundle                 exported models: their card, their client, their latency; no torch
     5  data  doctor           layouts, annotations, splits, decoding, augmentation, batches; diagnostics
     4  run                    the run folder and its copy in a store
     3  registry               published versions, their aliases and history
     2  store  cluster         local and S3 objects; Ray
        jobs   kube            submitted jobs; Kubernetes manifests
     1  config  metrics        the experiment file; scores and intervals
     0  errors  events  score_names  world  and home, worker_status, throttle, stored, sanitize, pages, redaction, disk, uris

`import raytl` loads neither torch nor Ray; a function loads what it needs when it is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raytl.advice.labels import DoubtfulLabels
    from raytl.advice.next_images import NextImage, NextImages
    from raytl.advice.result import Advice, CandidateFit
    from raytl.api.compression import compress
    from raytl.api.exporting import export
    from raytl.api.feedback import collect, return_labels
    from raytl.api.inference import explain, load, predict
    from raytl.api.labels import apply_fixes, doubtful_labels
    from raytl.api.run import Run
    from raytl.api.serving import serve
    from raytl.api.sweep import Sweep, Trial
    from raytl.api.verbs import advise, evaluate, next_images, plan, plan_sweep, report, retrain, train, tune
    from raytl.assessment.report import Assessment
    from raytl.batch_inference.result import BatchPredictions
    from raytl.bundle.latency import Latency, Timing, bench
    from raytl.bundle.processor import Processor
    from raytl.config.load import load_experiment, load_machine
    from raytl.config.machine import Machine
    from raytl.config.predict import PredictOptions
    from raytl.config.schema import Experiment, Recipe
    from raytl.errors import RaytlError, UserError
    from raytl.evaluation.explanation.record import Explanation, Explanations
    from raytl.evaluation.predictor import Predictor
    from raytl.events import Event, OnEvent
    from raytl.exporting.compress.outcome import Compression, Outcome, Speed, Verdict
    from raytl.exporting.driver import Exported, ParityFailed
    from raytl.exporting.parity import Check, Parity
    from raytl.feedback.driver import Collected
    from raytl.feedback.estimate import AccuracyInUse
    from raytl.feedback.returned import ReturnedLabels
    from raytl.labelling.fixes import AppliedFixes
    from raytl.labelling.suspect import SuspectLabel
    from raytl.metrics.intervals import Estimates, Interval
    from raytl.retraining.tick import Retraining
    from raytl.run.ledger import LedgerEntry
    from raytl.search.plan import SweepPlan
    from raytl.tasks.classification.prediction import Prediction
    from raytl.tasks.classification.report import Report
    from raytl.tasks.classification.table import Predictions
    from raytl.tasks.judgement import Judgement
    from raytl.tasks.reliability import Calibration
    from raytl.tasks.reporting import ClassScores, Subject, Unreadable
    from raytl.tasks.stored_scores import Mistake
    from raytl.training.plan import Plan

__all__ = [
    "AccuracyInUse",
    "Advice",
    "AppliedFixes",
    "Assessment",
    "BatchPredictions",
    "Calibration",
    "CandidateFit",
    "Check",
    "ClassScores",
    "Collected",
    "Compression",
    "DoubtfulLabels",
    "Estimates",
    "Event",
    "Experiment",
    "Explanation",
    "Explanations",
    "Exported",
    "Interval",
    "Judgement",
    "Latency",
    "LedgerEntry",
    "Machine",
    "Mistake",
    "NextImage",
    "NextImages",
    "OnEvent",
    "Outcome",
    "Parity",
    "ParityFailed",
    "Plan",
    "PredictOptions",
    "Prediction",
    "Predictions",
    "Predictor",
    "Processor",
    "RaytlError",
    "Recipe",
    "Report",
    "Retraining",
    "ReturnedLabels",
    "Run",
    "Speed",
    "Subject",
    "SuspectLabel",
    "Sweep",
    "SweepPlan",
    "Timing",
    "Trial",
    "Unreadable",
    "UserError",
    "Verdict",
    "advise",
    "apply_fixes",
    "bench",
    "collect",
    "compress",
    "doubtful_labels",
    "evaluate",
    "explain",
    "export",
    "load",
    "load_experiment",
    "load_machine",
    "next_images",
    "plan",
    "plan_sweep",
    "predict",
    "report",
    "retrain",
    "return_labels",
    "serve",
    "train",
    "tune",
]

_MODULES = {
    "raytl.advice.next_images": ("NextImage", "NextImages"),
    "raytl.advice.labels": ("DoubtfulLabels",),
    "raytl.advice.result": ("Advice", "CandidateFit"),
    "raytl.api.compression": ("compress",),
    "raytl.api.exporting": ("export",),
    "raytl.api.feedback": ("collect", "return_labels"),
    "raytl.api.inference": ("explain", "load", "predict"),
    "raytl.api.labels": ("apply_fixes", "doubtful_labels"),
    "raytl.api.run": ("Run",),
    "raytl.api.serving": ("serve",),
    "raytl.api.sweep": ("Sweep", "Trial"),
    "raytl.api.verbs": (
        "advise",
        "evaluate",
        "next_images",
        "plan",
        "plan_sweep",
        "report",
        "retrain",
        "train",
        "tune",
    ),
    "raytl.assessment.report": ("Assessment",),
    "raytl.batch_inference.result": ("BatchPredictions",),
    "raytl.bundle.latency": ("Latency", "Timing", "bench"),
    "raytl.bundle.processor": ("Processor",),
    "raytl.config.load": ("load_experiment", "load_machine"),
    "raytl.config.machine": ("Machine",),
    "raytl.config.predict": ("PredictOptions",),
    "raytl.config.schema": ("Experiment", "Recipe"),
    "raytl.errors": ("RaytlError", "UserError"),
    "raytl.evaluation.explanation.record": ("Explanation", "Explanations"),
    "raytl.evaluation.predictor": ("Predictor",),
    "raytl.events": ("Event", "OnEvent"),
    "raytl.exporting.compress.outcome": ("Compression", "Outcome", "Speed", "Verdict"),
    "raytl.exporting.driver": ("Exported", "ParityFailed"),
    "raytl.exporting.parity": ("Check", "Parity"),
    "raytl.feedback.driver": ("Collected",),
    "raytl.feedback.estimate": ("AccuracyInUse",),
    "raytl.feedback.returned": ("ReturnedLabels",),
    "raytl.labelling.suspect": ("SuspectLabel",),
    "raytl.labelling.fixes": ("AppliedFixes",),
    "raytl.metrics.intervals": ("Estimates", "Interval"),
    "raytl.retraining.tick": ("Retraining",),
    "raytl.run.ledger": ("LedgerEntry",),
    "raytl.search.plan": ("SweepPlan",),
    "raytl.tasks.classification.prediction": ("Prediction",),
    "raytl.tasks.classification.report": ("Report",),
    "raytl.tasks.classification.table": ("Predictions",),
    "raytl.tasks.judgement": ("Judgement",),
    "raytl.tasks.reliability": ("Calibration",),
    "raytl.tasks.reporting": ("ClassScores", "Subject", "Unreadable"),
    "raytl.tasks.stored_scores": ("Mistake",),
    "raytl.training.plan": ("Plan",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'raytl' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
