"""Score the checkpoints of trials again, from disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader
from raytl.models.card import Card
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.models.predict_score import set_predict_score
from raytl.models.temperature import set_temperature
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.search.record import TrialRecord
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks.calibration import validated
from raytl.tasks.inference import Network, Truths, set_buffers, split_rows
from raytl.tasks.saved import load_saved
from raytl.tasks.task import Rows, Validation
from raytl.training.job import TrainJob
from raytl.world import World


@dataclass(frozen=True)
class Answers:
    """The validation split as a network answers it, without a temperature: `rows` are the evidence for the `truths`.

    `label_smoothing` is what the network was trained with.
    """

    truths: Truths
    rows: Rows
    classes: tuple[str, ...]
    label_smoothing: float = 0.0

    def validation(self, sweep: TrainJob) -> Validation:
        """Return the scores, with the temperature that they choose."""
        calibrate, score = sweep.experiment.calibrate, sweep.experiment.predict.score
        return validated(sweep.task, calibrate, self.truths, self.rows, self.classes, self.label_smoothing, score)


def fetched(record: TrialRecord, s3: S3Settings = ENVIRONMENT) -> TrialRecord:
    """Return the trial with its folder on this node; download it if another node trained it."""
    run_store = RunStore(record.folder, s3=s3)
    run_store.fetch()
    return replace(record, folder=str(run_store.folder.root))


def rescore(record: TrialRecord, sweep: TrainJob, metric: str) -> float:
    """Return the validation score of the trial's best checkpoint, read from disk."""
    saved = load_saved(RunFolder(Path(record.folder)).best)
    return score(saved.module, saved.card, sweep, metric, smoothing_of(record, sweep))


def smoothing_of(record: TrialRecord, sweep: TrainJob) -> float:
    """Return the label smoothing that the trial was trained with."""
    return float(record.overrides.get("train.label_smoothing", sweep.experiment.train.label_smoothing))


def score(module: nn.Module, card: Card, sweep: TrainJob, metric: str, label_smoothing: float) -> float:
    """Return the validation score of `module`, and set the buffers, the temperature and the lowest score of objects that validation decides."""
    result = answers(module, card, sweep, label_smoothing).validation(sweep)
    set_buffers(module, result.buffers)
    set_temperature(module, result.temperature)
    set_predict_score(module, result.predict_score)
    return result.metrics[metric]


def answers(module: nn.Module, card: Card, sweep: TrainJob, label_smoothing: float) -> Answers:
    """Return the answers of `module`, trained with this label smoothing; it moves to the device of the experiment and loses its
    temperature."""
    experiment = sweep.experiment
    device = pick_device(experiment.compute.device)
    images = open_images(sweep.val, card.preprocess, experiment.data, s3=sweep.s3)
    encoder = sweep.task.encoder(sweep.val, card.classes, card.preprocess, sweep.files)
    loader = EvalLoader(images, card.preprocess, batch=EVAL_BATCH[device.type], world=World.solo())
    precision = pick_precision(experiment.train.precision, device)
    set_temperature(module, None)
    network = Network(sweep.task, module.to(device), card.preprocess, device, precision)
    _, rows = split_rows(network, loader, encoder)
    fine_tuned = 1.0 if card.fine_tuned_fraction is None else card.fine_tuned_fraction
    return Answers(Truths(encoder), rows, tuple(card.classes), fine_tuned * label_smoothing)
