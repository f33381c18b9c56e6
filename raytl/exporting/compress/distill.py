"""Train a student or a pruned network on the answers of one or several trained models, by raytl's own training, on labelled and
unlabelled images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl.config.auxiliary_rules import ELR, SMALL_LOSS
from raytl.config.override import override
from raytl.config.stored import on_this_machine
from raytl.data.decode import BadImage, read
from raytl.data.manifest import Sample
from raytl.data.samples import SAMPLE_FORMAT
from raytl.errors import Archived, DataError, NotFound
from raytl.evaluation.inputs import photos as photos_in
from raytl.evaluation.predictor import answers_of, load, reporting_of
from raytl.events import EpochEnded, Event, Message, OnEvent, Work
from raytl.exporting.compress.prune import retraining, write_pruned
from raytl.exporting.trained_run import TrainedRun, open_run
from raytl.labelling.record import left_out_of
from raytl.labelling.settings import Settings, settings_of
from raytl.run import journal
from raytl.run.plain import encode
from raytl.tasks.defaults import completed
from raytl.training.driver import train_here
from raytl.training.job import TrainJob
from raytl.training.step_sources import labels_only


@dataclass(frozen=True, slots=True)
class Distillation:
    """The training of a `student` (NAME or NAME=WEIGHTS; None = the run's own network, which continues, without the fraction
    `pruned` of the channels of each layer) on the answers of the runs `teachers` (empty = the run itself), with the photos at
    `unlabelled` too, for `epochs` (None = as the run)."""

    teachers: tuple[str, ...] = ()
    student: str | None = None
    unlabelled: str | None = None
    epochs: int | None = None
    pruned: float | None = None

    @property
    def reason_against(self) -> str:
        """Return why this would teach nothing; empty if it may."""
        if self.student is None and not self.teachers and self.pruned is None:
            return "name a smaller backbone with --student NAME=WEIGHTS, or a better model with --teacher"
        return ""


def distill(run: TrainedRun, distillation: Distillation, folder: Path, on_event: OnEvent) -> Path:
    """Train the student into `folder`, or resume it; return the folder of its saved model.

    Photos without labels get those of the first teacher; photos that are in the run's own data are left out, as they may be
    of its validation or test.

    Raises:
        ModelError: the student cannot be built or pruned, or a teacher lacks a class.
        TrainingError: training stopped; its checkpoints are intact.
    """
    start = write_start(run, distillation, folder, on_event)
    teachers = [open_run(each, run.machine, on_event) for each in distillation.teachers] or [run]
    recipe = completed(on_this_machine(run.recipe, run.machine))
    train = learned_samples(run, settings_of(recipe), on_event)
    if distillation.unlabelled is not None:
        train += unlabelled_samples(run, teachers[0], distillation.unlabelled, on_event)
    experiment = override(labels_only(recipe), student_changes(run.recipe.model_dump(), distillation, start))
    job = TrainJob(
        experiment=experiment,
        location=str(folder),
        train=train,
        val=run.present("val", on_event),
        classes=run.card.classes,
        bit_depth=run.card.preprocess.measured,
        teachers=tuple(str(each.run_store.folder.best.resolve()) for each in teachers),
    )
    return train_here(job, _epochs_as_work(on_event)).best


def write_start(run: TrainedRun, distillation: Distillation, folder: Path, on_event: OnEvent) -> Path:
    """Return the saved model that the student in `folder` continues, if it does: the run's own, or the pruned one, which is written
    unless it is there.

    Raises:
        ModelError: the network cannot be pruned.
    """
    if distillation.pruned is None:
        return run.run_store.folder.best.resolve()
    return write_pruned(run.saved, distillation.pruned, folder.with_name(f"{folder.name}-start"), on_event).resolve()


def learned_samples(run: TrainedRun, settings: Settings, on_event: OnEvent) -> list[Sample]:
    """Return the labelled images that the run learned from: without those that its label methods, as `settings` say, left out.

    Raises:
        DataError: files changed or are missing.
        RunError: the record of label changes is damaged.
    """
    left_out = left_out_of(run.run_store.folder.root, settings)
    return [sample for sample in run.present("train", on_event) if sample.key not in left_out]


def student_changes(recipe: Mapping[str, Any], distillation: Distillation, start: Path) -> dict[str, Any]:
    """Return the keys of the run's recipe that a student changes; `start` is the saved model that it continues, if it does."""
    changes: dict[str, Any] = {"name": f"{recipe['name']}-student", "recipe": "none", "transfer.fallback": "off"}
    if recipe["train"]["loss"] in (ELR, SMALL_LOSS):  # what it remembers would stand against the teachers
        changes["train.loss"] = "cross_entropy"
    if distillation.epochs is not None:
        changes |= _shortened(recipe, distillation.epochs)
    if distillation.pruned is not None:
        return changes | retraining(start)
    if distillation.student is None:
        return changes | {"model.weights": str(start), "transfer.head_start": "weights", "transfer.head_first": 0}
    name, _, weights = distillation.student.partition("=")
    return changes | {"model.name": name, "model.weights": weights or "pretrained", "transfer.head_start": "zero"}


def _shortened(recipe: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Return the keys of a training of `epochs`; what comes first in it, and would last as long, is shorter."""
    warmup = {"optim.warmup": epochs / 10} if recipe["optim"]["warmup"] >= epochs else {}
    return {"train.epochs": epochs, "transfer.head_first": min(recipe["transfer"]["head_first"], epochs - 1), **warmup}


def unlabelled_samples(run: TrainedRun, teacher: TrainedRun, uri: str, on_event: OnEvent) -> list[Sample]:
    """Return the photos at `uri` as training samples with the labels of the teacher, without those of the run's own data and of
    classes that the run does not have.

    Raises:
        DataError: there are no photos, or none that can be learned.
    """
    paths = photos_in([uri], s3=run.s3)
    own = {sample.digest for sample in journal.read(run.run_store.folder.samples, SAMPLE_FORMAT)}
    digests = {path: _digest(path, run) for path in paths}
    others = [path for path in paths if digests[path] not in own]
    predictor = load(str(teacher.run_store.folder.best), machine=run.machine, on_event=on_event)
    answers = answers_of(predictor, others)
    read_paths = [others[place] for place in answers.positions]
    predictions = reporting_of(predictor).predictions(answers.answers, predictor.classes, read_paths)
    labels = {path: each.label for path, each in zip(read_paths, predictions, strict=True)}
    names = [path for path, label in labels.items() if label in run.card.classes]
    text = (
        f"{len(names):,} of {len(paths):,} photos at {uri} are learned; {len(paths) - len(others):,} are of the run's own data, "
        f"{len(answers.unreadable):,} cannot be read"
    )
    if foreign := len(labels) - len(names):
        text += f", {foreign:,} are of classes that the teacher has and the run has not"
    if not names:
        raise DataError(f"--unlabelled: {text}; expected new photos. Leave it out, or name others")
    on_event(Message(text))
    return [
        Sample(f"unlabelled/{place}", path, labels[path], "train", digests[path]) for place, path in enumerate(names)
    ]


def distillation_key(distillation: Distillation, teachers: Sequence[str]) -> str:
    """Return a digest of what is trained and of the weights of the teachers."""
    pruned = [] if distillation.pruned is None else [distillation.pruned]
    parts = [distillation.student, distillation.unlabelled, distillation.epochs, *pruned, *teachers]
    return hashlib.sha256(encode(parts)).hexdigest()


def _digest(path: str, run: TrainedRun) -> str:
    """Return the sha256 of a photo; empty if it cannot be read, which the predictor reports."""
    try:
        return hashlib.sha256(read(path, run.machine.max_pixels, run.s3)).hexdigest()
    except (BadImage, NotFound, Archived):
        return ""


def _epochs_as_work(on_event: OnEvent) -> OnEvent:
    """Return a callback that reports epochs as one piece of work, and passes on warnings and steps."""

    def emit(event: Event) -> None:
        if isinstance(event, EpochEnded):
            on_event(Work("training the student", event.epoch, event.epochs, "epochs"))
        elif isinstance(event, Message) and event.level != "info":
            on_event(event)

    return emit
