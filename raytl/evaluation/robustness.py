"""`robustness`: how a classifier copes with corrupted photos, at three severities of each corruption of a suite.

Photos are resized as the model prepares them and then corrupted: the amounts are those that the model sees, whatever the
resolution of the camera. By default they are of the validation split, so nothing here is a look at the test split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data.cache import source_images
from raytl.data.corruptions.corrupted import CorruptedImages
from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.data.corruptions.suite import suite_named
from raytl.data.encoder import FileAccess
from raytl.data.images import Images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.errors import UserError
from raytl.evaluation.predictor import Predictor, network_of
from raytl.events import OnEvent, Work, ignore
from raytl.metrics.confusion import Ints
from raytl.metrics.robustness import Answered, answered, smallest_loss
from raytl.models.forward import EVAL_BATCH
from raytl.tasks.inference import Truths, split_rows
from raytl.world import World

PHOTOS = 100
SUITE = "camera"
Answer = Callable[[Images], NDArray[np.floating]]
"""Return the logits `(n, classes)` of n prepared images; called once for each corruption and severity."""


@dataclass(frozen=True)
class Response:
    """The answers under one corruption, at the severities 1 to 3, with the `amounts` of which `about` has the unit."""

    corruption: str
    about: str
    amounts: tuple[float, ...]
    severities: tuple[Answered, ...]

    @property
    def breaks_at(self) -> int | None:
        """The first severity at which accuracy is lower by more than chance; None if there is none."""
        return next((i for i, each in enumerate(self.severities, start=1) if each.is_worse), None)


@dataclass(frozen=True)
class Robustness:
    """The answers to `images` photos, unchanged (`clean`) and under each corruption of the `suite`."""

    suite: str
    images: int
    clean: Answered
    responses: tuple[Response, ...]

    @property
    def smallest_loss(self) -> int:
        """The smallest number of photos whose loss the tests can confirm."""
        return smallest_loss(sum(len(each.severities) for each in self.responses))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with `breaks_at` of each corruption."""
        responses = [{**asdict(each), "breaks_at": each.breaks_at} for each in self.responses]
        return {**asdict(self), "responses": responses, "smallest_loss": self.smallest_loss}


def robustness(
    predictor: Predictor,
    samples: Sequence[Sample],
    *,
    suite: str = SUITE,
    photos: int = PHOTOS,
    on_event: OnEvent = ignore,
) -> Robustness:
    """Return the predictor's accuracy and calibration on at most `photos` of `samples`, under each corruption of `suite`.

    The photos are chosen in proportion to the classes, always the same. They are held in memory, a quarter of a megabyte each
    at 224 px; each is corrupted and scored 39 times for the 13 corruptions of `camera`.

    Raises:
        UserError: there is no such suite, `photos` is below 1, or samples do not have one class each.
        DataError: a photo cannot be read.
    """
    corruptions = suite_named(suite)
    _check(samples, photos)
    chosen = chosen_photos(samples, photos)
    prepared = _prepared(predictor, chosen, on_event)
    targets, answer = _scored(predictor, chosen)
    return measured(answer, prepared, [sample.key for sample in chosen], targets, suite, corruptions, on_event)


def measured(
    answer: Answer,
    images: Images,
    keys: Sequence[str],
    targets: Ints,
    suite: str,
    corruptions: Sequence[Corruption],
    on_event: OnEvent = ignore,
) -> Robustness:
    """Return how anything that answers prepared images copes with the corruptions; `keys` and `targets (n,)` are theirs."""
    versions = [(each, severity) for each in corruptions for severity in SEVERITIES]
    unchanged, logits = answer(images), []
    for done, (corruption, severity) in enumerate(versions):
        on_event(Work("corrupting photos", done, len(versions), "versions"))
        logits.append(answer(CorruptedImages(images, keys, corruption, severity)))
    on_event(Work("corrupting photos", len(versions), len(versions), "versions"))
    clean, others = answered(targets, unchanged, logits)
    return Robustness(suite, len(keys), clean, tuple(_responses(corruptions, others)))


def _responses(corruptions: Sequence[Corruption], others: Sequence[Answered]) -> Iterator[Response]:
    for place, each in enumerate(corruptions):
        part = others[place * len(SEVERITIES) : (place + 1) * len(SEVERITIES)]
        yield Response(each.name, each.about, each.amounts, tuple(part))


def chosen_photos(samples: Sequence[Sample], count: int) -> tuple[Sample, ...]:
    """Return at most `count` samples in proportion to their classes; the choice depends only on the keys."""
    ordered = sorted(
        samples, key=lambda each: (each.label, hashlib.sha256(each.key.encode("utf-8", "replace")).digest())
    )
    if len(ordered) <= count:
        return tuple(ordered)
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count))


def _check(samples: Sequence[Sample], photos: int) -> None:
    problems = [] if photos >= 1 else [f"photos: found {photos}; expected 1 or more"]
    if not samples:
        problems.append("robustness: found no photos; expected some with a class each")
    elif any(not isinstance(sample.target, str) for sample in samples):
        problems.append("robustness: this applies to models with one class an image; the photos have other annotations")
    if problems:
        raise UserError("\n".join(problems))


def _prepared(predictor: Predictor, samples: Sequence[Sample], on_event: OnEvent) -> Images:
    """Return the photos as the model prepares them, decoded."""
    saved = predictor._saved
    files = source_images(samples, saved.card.preprocess, predictor.max_pixels, predictor._s3)
    images = []
    with ThreadPoolExecutor() as pool:
        for done, pixels in enumerate(pool.map(files.__getitem__, range(len(samples))), start=1):
            images.append(pixels)
            on_event(Work("reading photos", done, len(samples)))
    return images


def _scored(predictor: Predictor, samples: Sequence[Sample]) -> tuple[Ints, Answer]:
    """Return the classes of the samples, and what answers versions of their images in the batches of an evaluation."""
    network, saved = network_of(predictor), predictor._saved
    task, preprocess = saved.task, saved.card.preprocess
    encoder = task.encoder(samples, predictor.classes, preprocess, FileAccess(predictor.max_pixels, predictor._s3))
    assert task.calibration is not None, f"{task.name} decides no classes"
    decisions, truths = task.calibration, Truths(encoder)

    def answer(images: Images) -> NDArray[np.floating]:
        batch = EVAL_BATCH[network.device.type]
        with predictor._lock, closing(EvalLoader(images, preprocess, batch=batch, world=World.solo())) as loader:
            rows = split_rows(network, loader, encoder)[1]
        return decisions(truths, rows)[1]

    return np.array(truths[:], dtype=np.int64), answer
