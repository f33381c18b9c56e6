"""A trained network in memory: photos in, the answers of its task out. The one way from pixels to answers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import device as Device

from raytl.config.machine import Machine
from raytl.config.predict import PredictConfig, PredictOptions
from raytl.config.schema import Recipe
from raytl.config.stored import stored_experiment
from raytl.data.bit_depth import RGB, Levels, mismatches
from raytl.data.manifest import listed
from raytl.errors import DataError, RunError, UserError
from raytl.evaluation.bundles import refuse_bundle
from raytl.evaluation.inputs import photos as photos_in
from raytl.evaluation.limits import limits, reported
from raytl.evaluation.photos import Photo, PhotoBatch, batches
from raytl.evaluation.photos_in_memory import is_tensor, photo_in_memory, unknown_photo
from raytl.evaluation.settings import in_force, tell_ignored
from raytl.evaluation.trust import Trust, TrustOptions, trust_of
from raytl.events import WARM_UP, Message, OnEvent, Work, ignore, throttled
from raytl.home import expanded
from raytl.metrics.aim import texts
from raytl.models.forward import pick_device, pick_precision
from raytl.models.parallel import computed
from raytl.models.saved_model import saved_model_directory
from raytl.run import journal
from raytl.run.folder import WARMUP, RunFolder
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings
from raytl.tasks.inference import BatchFeatures, Network
from raytl.tasks.judgement import Judgement
from raytl.tasks.reporting import Reporting
from raytl.tasks.saved import Saved, load_saved
from raytl.uris import is_remote

_BATCH = {"cpu": 16, "cuda": 64}
PhotoLike = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""A photo: a path, an s3:// URI, a PIL image, or an array `(height, width, 3) uint8` in RGB order."""


@dataclass(frozen=True)
class Answers:
    """The task's answers for the readable photos at `positions`, with (width, height) of the upright originals, and why the
    others are not there. `judgements` are those of operating points, None if none are applied."""

    positions: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    answers: list[Any]
    unreadable: tuple[tuple[int, str], ...]
    judgements: tuple[Judgement, ...] | None = None


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained network held in memory, with the preprocessing that was saved beside it.

    `classes` are in the order of the outputs, `weights` is the digest of the tensors. Make one with `raytl.load`.
    Calls from several threads are served one after the other.
    """

    model: str
    classes: tuple[str, ...]
    weights: str
    device: str
    max_pixels: int
    _s3: S3Settings = field(repr=False)
    _saved: Saved = field(repr=False)
    _precision: str = field(repr=False)
    _reported: PredictConfig = field(repr=False, default=PredictConfig())
    _trust: Trust | None = field(repr=False, default=None)
    _on_event: OnEvent = field(repr=False, default=ignore)
    _lock: Lock = field(repr=False, default_factory=Lock)

    @overload  # an array is iterable too, but stands for one photo
    def predict(
        self,
        photo: Image.Image | NDArray[np.uint8],
        *,
        batch_size: int | None = None,
        score: float | None = None,
        nms_iou: float | None = None,
        max_detections: int | None = None,
    ) -> Any: ...

    @overload
    def predict(
        self,
        photo: str | os.PathLike[str],
        *,
        batch_size: int | None = None,
        score: float | None = None,
        nms_iou: float | None = None,
        max_detections: int | None = None,
    ) -> Any: ...

    @overload
    def predict(
        self,
        photo: Iterable[PhotoLike],
        *,
        batch_size: int | None = None,
        score: float | None = None,
        nms_iou: float | None = None,
        max_detections: int | None = None,
    ) -> list[Any]: ...

    def predict(
        self,
        photo: PhotoLike | Iterable[PhotoLike],
        *,
        batch_size: int | None = None,
        score: float | None = None,
        nms_iou: float | None = None,
        max_detections: int | None = None,
    ) -> Any:
        """Return the prediction for a photo, or a list with one for each photo of an iterable, a folder or a manifest.

        Of a classifier, it is a `raytl.Prediction`.

        A photo is a path, an `s3://` URI, a PIL image, or a numpy array `(height, width, 3) uint8` in RGB order; of a model
        of other channels, a numpy array `(height, width, channels)` of the numbers that its files have. A folder, a prefix or a manifest stands for its photos, in an iterable too. The numbers are those of
        `raytl predict` on the same photos with the same batch size (16 on a CPU, 64 on a GPU). Of a model for objects,
        `score`, `nms_iou` and `max_detections` limit those that are reported; by default as the run's experiment says.

        Raises:
            DataError: a photo is missing or cannot be read; every such photo is named. `raytl.predict` skips them.
            UserError: something else was passed, an array of another shape or type, or limits that cannot take effect.
        """
        keep = reported(
            self._saved.task,
            self._reported,
            {"score": score, "nms_iou": nms_iou, "max_detections": max_detections},
        )
        is_one = isinstance(photo, str | os.PathLike | Image.Image | np.ndarray)
        channels = self._saved.card.preprocess.channels
        photos = _expanded([photo] if is_one else _items(photo), self._s3, self.max_pixels, channels)
        answers = answers_of(self, photos, batch_size, keep)
        if answers.unreadable:
            reasons = listed([f"{_name(photos[at], at)}: {reason}" for at, reason in answers.unreadable])
            raise DataError(f"{len(answers.unreadable)} of {len(photos)} photos could not be read:\n{reasons}")
        names = [each if isinstance(each, str) else None for each in photos]
        predictions = reporting_of(self).predictions(answers.answers, self.classes, names)
        if answers.judgements is not None:  # of tasks that decide one class for each image, whose predictions have it
            pairs = zip(predictions, answers.judgements, strict=True)
            predictions = [replace(each, judgement=judgement) for each, judgement in pairs]
        return predictions[0] if is_one and _is_single(photo, photos) else predictions


def saved_of(predictor: Predictor) -> Saved:
    """Return the predictor's saved model; its module is on the predictor's device."""
    return predictor._saved


def reporting_of(predictor: Predictor) -> Reporting:
    """Return the form of the answers of the predictor's task."""
    return predictor._saved.task.reporting


def batch_of(device: str, batch_size: int | None = None) -> int:
    """Return the photos per batch: `batch_size`, or the default of the device (cpu or cuda).

    Raises:
        UserError: `batch_size` is not 1 or more.
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size: found {batch_size}, expected 1 or more")
    return batch_size or _BATCH[device]


def settings_of(predictor: Predictor) -> dict[str, str]:
    """Return what decides the predictor's answers besides the photos, their batches and the device, as text by name."""
    card, trust = predictor._saved.card, predictor._trust
    return {
        "model": predictor.weights,
        "task": card.task,
        "classes": hashlib.sha256("\0".join(card.classes).encode()).hexdigest(),
        "temperature": repr(card.temperature),
        "preprocess": repr(card.preprocess),
        "precision": predictor._precision,
        "reported": repr(limits(predictor._reported, card)),
        "operating_points": "none" if trust is None else trust.settings,
        "max_pixels": str(predictor.max_pixels),
    }


def load(
    run: str | os.PathLike[str],
    *,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
    require: str | None = None,
    recall: Sequence[str] = (),
    uncertainty: bool = False,
    **options: Unpack[PredictOptions],
) -> Predictor:
    """Load the best checkpoint of `run` into memory: a run's folder or `s3://` URI, a saved model, or `models:...`.

    Buckets, the device and limits of memory are those of `machine`, never those of the run. The objects that are reported
    are limited by the run's `predict` section, with `options` in its place.

    `require` (`accuracy>=0.95`) and `recall` (`trash>=0.9`) are aims that the report of the run shows to be met: predictions say
    whether they are answered, and count as a class, so that the aim is kept. With any of them, or `uncertainty`, they have a
    prediction set and say whether the photo is unfamiliar.

    Raises:
        RunError, ModelError: there is no model in `run`.
        ConfigError: a setting of `machine` or one of `options` cannot take effect.
        UserError: an aim cannot be read, or the report does not show that the model meets it.
    """
    machine = in_force(machine, device)
    folder, recipe = _model_folder(os.fspath(run), machine, on_event)
    saved = load_saved(folder, on_event)
    root = None if recipe is None else RunFolder(folder.parents[1])
    at = pick_device(machine.compute.device)
    saved.module.to(at)
    config = recipe.predict if recipe else PredictConfig()
    return Predictor(
        model=saved.card.model,
        classes=saved.card.classes,
        weights=saved.card.digest,
        device=at.type,
        max_pixels=machine.max_pixels,
        _s3=S3Settings.of(machine.storage),
        _saved=saved,
        _precision=recipe.train.precision if recipe else "auto",
        _reported=reported(saved.task, config, options),
        _trust=trust_of(root, os.fspath(run), saved, TrustOptions(require, texts(recall), uncertainty)),
        _on_event=on_event,
    )


def answers_of(
    predictor: Predictor, photos: Sequence[Photo], batch_size: int | None = None, keep: PredictConfig | None = None
) -> Answers:
    """Return the answers for all photos that the predictor can read; of objects, those that `keep`, or the predictor's own, lets through.

    Raises:
        UserError: `batch_size` is not 1 or more.
    """
    batch = batch_of(predictor.device, batch_size)
    emit = predictor._on_event
    saved, device, trust = predictor._saved, Device(predictor.device), predictor._trust
    preprocess = saved.card.preprocess
    unreadable: list[tuple[int, str]] = []
    deep: dict[str, Levels] = {}
    read = batches(
        photos,
        preprocess,
        batch,
        predictor.max_pixels,
        on_bad=lambda position, reason: unreadable.append((position, reason)),
        on_done=_progress(len(photos), emit),
        on_deep=lambda position, levels: deep.update({_name(photos[position], position): levels}),
        s3=predictor._s3,
    )
    with network_of(predictor, keep) as network, closing(read):
        parts = computed(
            saved.module, read, partial(_answered, network, None if trust is None else trust.watch), device
        )
    for line in mismatches(preprocess.bit_depth, deep):
        emit(Message(line, "warning"))
    rows = [row for ids, answered in parts for row in zip(ids.tolist(), *answered, strict=True)]
    positions, sizes, answers, features = zip(*rows, strict=True) if rows else ((), (), (), ())
    judgements = None if trust is None else trust.judged(answers, features)
    return Answers(positions, sizes, list(answers), tuple(unreadable), judgements)


@contextmanager
def network_of(predictor: Predictor, keep: PredictConfig | None = None) -> Iterator[Network]:
    """Yield the network of the predictor, for the caller alone; of objects, it answers with those that `keep`, or the
    predictor's own limits, let through."""
    saved, device = predictor._saved, Device(predictor.device)
    precision = pick_precision(predictor._precision, device)
    with predictor._lock:
        limit = limits(keep or predictor._reported, saved.card)
        yield Network(saved.task, saved.module, saved.card.preprocess, device, precision, limit)


def _answered(
    network: Network, watch: BatchFeatures | None, batch: PhotoBatch
) -> tuple[Sequence[tuple[int, int]], list[Any], Sequence[NDArray[np.float16] | None]]:
    """Return the sizes and answers of a batch, and the features of its photos, from the same pass."""
    answers = network.answers(batch.images, batch.sizes)
    return batch.sizes, answers, [None] * len(answers) if watch is None else list(watch(len(answers)))


def _model_folder(run: str, machine: Machine, on_event: OnEvent) -> tuple[Path, Recipe | None]:
    """Return the folder of the saved model, and the recipe of its run; None for a model without its run."""
    saved = saved_model_directory(run)
    if saved is not None and saved == Path(run):
        refuse_bundle(saved)
        _refuse_warmup(RunFolder(saved.absolute().parent.parent), run)
        return saved, None
    folder = RunStore.open(run, S3Settings.of(machine.storage)).folder
    if saved_model_directory(folder.root) is None:
        raise RunError(f"{run}: this run has no checkpoint yet; its `raytl train` command writes one after an epoch")
    _refuse_warmup(folder, run)
    stored = stored_experiment(folder.experiment)
    tell_ignored(stored, machine, 1, on_event)
    return folder.best, stored.recipe


def _refuse_warmup(folder: RunFolder, run: str) -> None:
    """Check that the run is none of a warm-up, whose head never learned.

    Raises:
        RunError: it is one.
    """
    name = run.rstrip("/").rpartition("/")[2] if is_remote(run) else folder.root.resolve().name
    first = next(iter(journal.read(folder.metrics)), {}) if name == WARMUP else {}
    if first.get("stage") == WARM_UP:
        raise RunError(f"{run}: this is the warm-up of a run, whose head has learned nothing; name the run above it")


def _items(photos: Any) -> list[Any]:
    if not isinstance(photos, Iterable) or isinstance(photos, bytes) or is_tensor(photos):
        raise UserError(unknown_photo(photos))
    return list(photos)


def _expanded(items: Sequence[Any], s3: S3Settings, max_pixels: int, channels: int = RGB) -> list[Photo]:
    """Return every photo that the items name or are, in order, or raise all problems at once."""
    photos: list[Photo] = []
    problems: list[UserError] = []
    for position, item in enumerate(items):
        try:
            if isinstance(item, str | os.PathLike):
                photos += photos_in([os.fspath(item)], s3=s3)
            else:
                photos.append(photo_in_memory(item, position, max_pixels, channels))
        except UserError as error:
            problems.append(error)
    if not items:
        raise DataError("no photos: found an empty list; expected paths, images or arrays")
    if problems:
        kind = DataError if all(isinstance(error, DataError) for error in problems) else UserError
        raise kind("\n".join(map(str, problems)))
    return photos


def _is_single(photo: Any, photos: Sequence[Photo]) -> bool:
    """Return whether `photo` is itself the one photo, and not a folder or a manifest that holds one."""
    if not isinstance(photo, str | os.PathLike):
        return True
    path = os.fspath(photo)
    return list(photos) in ([path], [str(expanded(path))])


def _name(photo: Photo, position: int) -> str:
    return repr(photo) if isinstance(photo, str) else f"photo {position}"


def _progress(total: int, on_event: OnEvent) -> Callable[[int], None]:
    report = throttled(on_event, first_s=0)
    return lambda done: report(Work("predicting", done, total))
