"""Train the networks of `report --full`, in this process, and keep their answers in the run.

    <run>/evaluation/left-out/<key>.json   the answers of a network; the key is a digest of everything that they depend on
    <cache>/left-out/<key>/                a network that is trained, with its checkpoints, until its answers are written

An interrupted `--full` continues with the checkpoint of the network, and with the networks that have no answers yet.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from raytl.assessment.collect import Source
from raytl.assessment.left_out import MIN_IMAGES, FineTunedGap, Network, fine_tuned_gap, left_out
from raytl.assessment.pretrained import start_of
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.stored import on_this_machine
from raytl.data.group_split import group_columns
from raytl.data.manifest import Sample
from raytl.data.unicode_names import nfc
from raytl.errors import RaytlError, UserError
from raytl.evaluation.record import recorded, verified
from raytl.evaluation.worker import Shard, score_shard
from raytl.events import EpochEnded, Event, Message, OnEvent, Work
from raytl.metrics.confusion import Ints
from raytl.models.saved_model import read_card
from raytl.run import journal
from raytl.run.atomic import write_json
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.plain import encode
from raytl.store.cache import cache_root
from raytl.store.s3_settings import S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Name, at_most
from raytl.training.driver import train_here
from raytl.training.job import TrainJob
from raytl.training.step_sources import labels_only
from raytl.world import World

_FORMAT = 1
_FOLDER = "left-out"
_NETWORKS = "networks without a group"


@dataclass(frozen=True, slots=True)
class LeftOutAnswers:
    """The classes that a network answers for its held-out images, in their order."""

    answers: Annotated[tuple[Name, ...], at_most(10_000_000, "answers")]


ANSWERS_FORMAT = Format[LeftOutAnswers](
    LeftOutAnswers, "answers to held-out images", "Remove the file.", max_bytes=1 << 28
)


@dataclass(frozen=True, eq=False)
class _Images:
    """The images of train and then validation, and their classes by number."""

    samples: Sequence[Sample]
    targets: Ints


def fine_tuned_gaps(source: Source, full: bool) -> tuple[FineTunedGap, ...]:
    """Return the gap that fine-tuned networks show for each column of groups whose networks have answers; with `full`, those
    that have none are trained.

    Raises:
        UserError: with `full`, no groups can be left out.
        ModelError: the weights from which the run started are not here.
        DataError: images changed or are missing.
        RunError: another process trains the same networks.
        TrainingError: training failed.
    """
    columns = group_columns(source.recipe.data.columns)
    images = _recorded(source)
    divisions = [left_out(name, _values(images.samples, name), images.targets) for name in columns]
    possible = [division for division in divisions if division is not None]
    if full and not possible:
        raise UserError(
            f"--full: no groups of {', '.join(columns)} can be left out; expected two or more with the same two classes, and "
            f"{MIN_IMAGES} images without each. Use the gap on features, without --full"
        )
    networks = {_key(source, images, each): each for division in possible for each in division.networks}
    read = ((key, _stored(key, source, each)) for key, each in networks.items())
    answers = {key: each for key, each in read if each is not None}
    if full:
        answers |= _trained(source, {key: each for key, each in networks.items() if key not in answers})
    gaps = []
    for division in possible:
        own = [answers.get(_key(source, images, each)) for each in division.networks]
        whole = [each for each in own if each is not None]
        if len(whole) == len(own):
            gaps.append(fine_tuned_gap(division, images.targets, whole))
    return tuple(gaps)


def _recorded(source: Source) -> _Images:
    folder = source.run_store.folder
    samples = [*recorded(folder, "train"), *recorded(folder, "val")]
    place = {name: i for i, name in enumerate(source.card.classes)}
    return _Images(samples, np.array([place[sample.label] for sample in samples], np.int64))


def _values(samples: Sequence[Sample], column: str) -> list[str]:
    return [dict(sample.columns).get(column, "") for sample in samples]


def _trained(source: Source, networks: Mapping[str, Network]) -> dict[str, Ints]:
    """Train the networks, by key, and return their answers, each stored as soon as it is there."""
    if not networks:
        return {}
    experiment, data = labels_only(on_this_machine(source.recipe, source.machine)), source.recipe.data
    start_of(source, experiment)
    samples, s3 = _recorded(source).samples, S3Settings.of(source.machine.storage)
    present = verified(samples, data.uri, source.on_event, data.zip_encoding, s3, data.feedback)
    _announce(source, len(networks))
    answers: dict[str, Ints] = {}
    for key, network in networks.items():
        source.on_event(Work(_NETWORKS, len(answers), len(networks), "networks"))
        answers[key] = _answered(source, experiment, present, network, key)
        names = [source.card.classes[i] for i in answers[key]]
        write_json(_file(source, key), {"format": _FORMAT, "answers": names})
        shutil.rmtree(_working_folder(key), ignore_errors=True)
        source.run_store.push()
    source.on_event(Work(_NETWORKS, len(networks), len(networks), "networks"))
    return answers


def _announce(source: Source, networks: int) -> None:
    records = journal.read(source.run_store.folder.metrics, EPOCH_FORMAT)
    seconds = sum(record.get(key) or 0.0 for record in records for key in ("train/seconds", "val/seconds"))
    took = f" The run took {seconds / 60:.1f} minutes for one where it was trained." if seconds else ""
    count = f"{networks} network{'' if networks == 1 else 's'}"
    source.on_event(Message(f"--full trains {count} without a group or a random fold.{took}"))


def _key(source: Source, images: _Images, network: Network) -> str:
    """Return a digest of the recipe, the weights to start from, and the images and their classes."""
    recipe = source.recipe.model_dump(mode="json", exclude={"name", "data"})
    parts = [
        [[images.samples[i].digest, images.samples[i].label] for i in places]
        for places in (network.train, network.val, network.held_out)
    ]
    return hashlib.sha256(encode([_FORMAT, recipe, source.card.weights_digest, parts])).hexdigest()[:32]


def _stored(key: str, source: Source, network: Network) -> Ints | None:
    """Return the stored answers of a network; None if there are none, or they are damaged."""
    try:
        names = ANSWERS_FORMAT.load(_file(source, key)).answers
    except RaytlError:
        return None
    place = {name: i for i, name in enumerate(source.card.classes)}
    if len(names) != len(network.held_out) or not place.keys() >= set(names):
        return None
    return np.array([place[name] for name in names], np.int64)


def _answered(source: Source, experiment: Experiment, samples: Sequence[Sample], network: Network, key: str) -> Ints:
    """Train the network, or resume it, and return the classes that it answers for its held-out images."""

    def of(places: Ints) -> list[Sample]:
        return [samples[i] for i in places]

    train = of(network.train)
    classes = tuple(sorted({sample.label for sample in train}))
    job = TrainJob(
        experiment=weighted(experiment, classes),
        location=str(_working_folder(key)),
        train=train,
        val=of(network.val),
        classes=classes,
        bit_depth=source.card.preprocess.measured,
    )
    title, epochs = f"training {network.title}", experiment.train.epochs
    best = train_here(job, _progress(title, source.on_event)).best
    answers = _scored(source, best, of(network.held_out))
    source.on_event(Work(title, epochs, epochs, "epochs"))
    return answers


def weighted(experiment: Experiment, classes: Sequence[str]) -> Experiment:
    """Return the experiment with the given weights of `classes` alone: a network may lack a class of the run."""
    weights = experiment.train.class_weights
    if isinstance(weights, str):
        return experiment
    own = {name: weight for name, weight in weights.items() if nfc(name) in classes}
    return override(experiment, {"train.class_weights": own or "none"})


def _scored(source: Source, model_folder: Path, samples: Sequence[Sample]) -> Ints:
    card, data = read_card(model_folder), source.recipe.data
    shard = Shard(
        model_folder=str(model_folder),
        samples=samples,
        classes=(*card.classes, *sorted(set(source.card.classes) - set(card.classes))),
        device=source.machine.compute.device,
        precision=source.recipe.train.precision,
        max_pixels=source.machine.max_pixels,
        digest=card.digest,
        run=str(model_folder),
        data=data.uri,
        s3=S3Settings.of(source.machine.storage),
        zip_encoding=data.zip_encoding,
    )
    logits = score_shard(World.solo(), shard, source.on_event)[0]
    place = {name: i for i, name in enumerate(source.card.classes)}
    return np.array([place[card.classes[i]] for i in logits.argmax(axis=1)], np.int64)


def _file(source: Source, key: str) -> Path:
    return source.run_store.folder.evaluation / _FOLDER / f"{key}.json"


def _working_folder(key: str) -> Path:
    return cache_root() / _FOLDER / key


def _progress(title: str, on_event: OnEvent) -> OnEvent:
    """Return a callback that reports the epochs of a network as one piece of work, and passes on warnings."""

    def emit(event: Event) -> None:
        if isinstance(event, EpochEnded):
            on_event(Work(title, min(event.epoch, event.epochs - 1), event.epochs, "epochs"))
        elif isinstance(event, Message) and event.level != "info":
            on_event(event)

    return emit
