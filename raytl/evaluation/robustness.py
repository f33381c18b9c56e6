"""`robustness`: how a model copes with corrupted photos, at three severities of each corruption of a suite.

Photos are resized as the model prepares them and then corrupted: the amounts are those that the model sees, whatever the
resolution of the camera. By default they are of the validation split, so nothing here is a look at the test split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.cache import source_images
from raytl.data.corruptions.corrupted import CorruptedImages
from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.data.corruptions.suite import suite_named
from raytl.data.encoder import FileAccess
from raytl.data.images import Images
from raytl.data.loader import EvalLoader
from raytl.data.manifest import Sample
from raytl.data.transforms import eval_pixels
from raytl.errors import UserError
from raytl.evaluation.corrupted import EXAMPLE_PX, CorruptedAnswers, corruptions_for
from raytl.evaluation.predictor import Predictor, network_of, saved_of
from raytl.events import OnEvent, Work, ignore
from raytl.metrics.confusion import Ints
from raytl.metrics.draws import Groups
from raytl.metrics.findings import image_sums
from raytl.metrics.robustness import Answered, Scored, answered, scored, smallest_loss
from raytl.models.forward import EVAL_BATCH
from raytl.tasks.findings import finding_kind
from raytl.tasks.inference import Network, Truths, split_rows
from raytl.tasks.task import Rows, Task
from raytl.world import World

PHOTOS = 100
SUITE = "camera"
_EXAMPLES = 3
Answer = Callable[[Images], NDArray[np.floating]]
"""Return the logits `(n, classes)` of n prepared images, or their `image_sums (n, 4)`; called once for each corruption and severity."""
A = TypeVar("A", Answered, Scored)


@dataclass(frozen=True)
class Response(Generic[A]):
    """The answers under one corruption, at the severities 1 to 3, with the `amounts` of which `about` has the unit."""

    corruption: str
    about: str
    amounts: tuple[float, ...]
    severities: tuple[A, ...]

    @property
    def breaks_at(self) -> int | None:
        """The first severity at which the answers are worse by more than chance; None if there is none."""
        return next((i for i, each in enumerate(self.severities, start=1) if each.is_worse), None)


@dataclass(frozen=True)
class Robustness:
    """The answers to `images` photos, unchanged (`clean`) and under each corruption of the `suite`."""

    suite: str
    images: int
    clean: Answered
    responses: tuple[Response[Answered], ...]
    examples: NDArray[np.uint8] = field(
        repr=False, compare=False, default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8)
    )
    """A few of the photos, unchanged, to show the corruptions: `(e, px, px, 3)`."""
    groups: int | None = None
    """The number of groups of the photos, which the tests count; None if photos are independent."""

    @property
    def smallest_loss(self) -> int:
        """The smallest number of photos, or of groups of them, whose loss the tests can confirm."""
        return smallest_loss(sum(len(each.severities) for each in self.responses))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with `breaks_at` of each corruption, and without the examples."""
        return {
            "suite": self.suite,
            "images": self.images,
            "groups": self.groups,
            "smallest_loss": self.smallest_loss,
            "clean": asdict(self.clean),
            "responses": [{**asdict(each), "breaks_at": each.breaks_at} for each in self.responses],
        }


@dataclass(frozen=True)
class ScoreRobustness:
    """The scores of `images` photos, unchanged (`clean`) and under each corruption of the `suite`; `examples` as in `Robustness`."""

    suite: str
    images: int
    clean: Scored
    responses: tuple[Response[Scored], ...]
    examples: NDArray[np.uint8] = field(repr=False, compare=False)
    groups: int | None = None
    """The number of groups of the photos, which the tests count; None if photos are independent."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with `breaks_at` of each corruption, and without the examples."""
        responses = [{**asdict(each), "breaks_at": each.breaks_at} for each in self.responses]
        return {
            "suite": self.suite,
            "images": self.images,
            "groups": self.groups,
            "clean": asdict(self.clean),
            "responses": responses,
        }


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
    check_request(samples, suite, photos)
    chosen = chosen_photos(samples, photos)
    answers = corrupted_answers(predictor, chosen, suite, on_event)
    place = {name: i for i, name in enumerate(predictor.classes)}
    return judged(answers, np.array([place[sample.label] for sample in chosen]))


def check_request(samples: Sequence[Sample], suite: str, photos: int, has_classes: bool = True) -> None:
    """Refuse a request that makes no sense; with `has_classes`, samples need one class each.

    Raises:
        UserError: see `robustness`; all problems are named.
    """
    suite_named(suite)
    problems = [] if photos >= 1 else [f"photos: found {photos}; expected 1 or more"]
    if not samples:
        problems.append("robustness: found no photos; expected some with a class each")
    elif has_classes and any(not isinstance(sample.target, str) for sample in samples):
        problems.append("robustness: this applies to models with one class an image; the photos have other annotations")
    if problems:
        raise UserError("\n".join(problems))


def chosen_photos(samples: Sequence[Sample], count: int) -> tuple[Sample, ...]:
    """Return at most `count` samples, in proportion to their classes if they have one each; the choice depends only on the keys."""

    def order(sample: Sample) -> tuple[str, bytes]:
        label = sample.target if isinstance(sample.target, str) else ""
        return label, hashlib.sha256(sample.key.encode("utf-8", "replace")).digest()

    ordered = sorted(samples, key=order)
    if len(ordered) <= count:
        return tuple(ordered)
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count))


def judged(answers: CorruptedAnswers, targets: Ints, groups: Groups | None = None) -> Robustness:
    """Return what the answers say, for the classes `targets (n,)` of the photos, and their `groups (n,)`."""
    clean, others = answered(targets, answers.logits[0], list(answers.logits[1:]), groups)
    responses = _responses(suite_named(answers.suite), others)
    return Robustness(answers.suite, len(answers.keys), clean, responses, answers.examples, _count(groups))


def judged_scores(
    answers: CorruptedAnswers, corruptions: Sequence[Corruption], groups: Groups | None = None
) -> ScoreRobustness:
    """Return what the sums of photos under `corruptions` say; `groups (n,)` are those of the photos."""
    unchanged, *changed = answers.logits.astype(np.float64)
    clean, others = scored(unchanged, changed, groups=groups)
    responses = _responses(corruptions, others)
    return ScoreRobustness(answers.suite, len(answers.keys), clean, responses, answers.examples, _count(groups))


def _count(groups: Groups | None) -> int | None:
    return None if groups is None else len(np.unique(groups))


def _responses(corruptions: Sequence[Corruption], answers: tuple[A, ...]) -> tuple[Response[A], ...]:
    """Return the `answers` by corruption, of which each has three, one a severity."""
    count = len(SEVERITIES)
    return tuple(
        Response(each.name, each.about, each.amounts, answers[place * count : (place + 1) * count])
        for place, each in enumerate(corruptions)
    )


def corrupted_answers(
    predictor: Predictor, samples: Sequence[Sample], suite: str, on_event: OnEvent = ignore
) -> CorruptedAnswers:
    """Return the predictor's answers to the photos of `samples`, and to each corruption of them.

    Raises:
        DataError: a photo cannot be read.
    """
    prepared, keys = _prepared(predictor, samples, on_event), [sample.key for sample in samples]
    corruptions = corruptions_for(saved_of(predictor).task, suite)
    logits = versions(_scoring(predictor, samples), prepared, keys, corruptions, on_event)
    return CorruptedAnswers(suite, tuple(sample.key for sample in samples), logits, _examples(predictor, prepared))


def versions(
    answer: Answer, images: Images, keys: Sequence[str], corruptions: Sequence[Corruption], on_event: OnEvent = ignore
) -> NDArray[np.float32]:
    """Return the logits of anything that answers prepared images: see `CorruptedAnswers.logits`; `keys` are their samples'."""
    changes = [(each, severity) for each in corruptions for severity in SEVERITIES]
    logits = [answer(images)]
    for done, (corruption, severity) in enumerate(changes):
        on_event(Work("corrupting photos", done, len(changes), "versions"))
        logits.append(answer(CorruptedImages(images, keys, corruption, severity)))
    on_event(Work("corrupting photos", len(changes), len(changes), "versions"))
    return np.stack(logits).astype(np.float32)


def _prepared(predictor: Predictor, samples: Sequence[Sample], on_event: OnEvent) -> Images:
    """Return the photos as the model prepares them, decoded."""
    files = source_images(samples, saved_of(predictor).card.preprocess, predictor.max_pixels, predictor._s3)
    images = []
    with ThreadPoolExecutor() as pool:
        for done, pixels in enumerate(pool.map(files.__getitem__, range(len(samples))), start=1):
            images.append(pixels)
            on_event(Work("reading photos", done, len(samples)))
    return images


def _examples(predictor: Predictor, images: Images) -> NDArray[np.uint8]:
    """Return a few of the photos, evenly spaced over the classes, as the model sees them, reduced."""
    count = min(_EXAMPLES, len(images))
    views = [
        eval_pixels(images[(2 * i + 1) * len(images) // (2 * count)], saved_of(predictor).card.preprocess)
        for i in range(count)
    ]
    size = (EXAMPLE_PX, EXAMPLE_PX)
    return np.stack([np.asarray(Image.fromarray(view).resize(size, Image.Resampling.LANCZOS)) for view in views])


def _scoring(predictor: Predictor, samples: Sequence[Sample]) -> Answer:
    """Return what answers versions of the samples' images, in the batches of an evaluation: logits, or sums of images."""
    saved = saved_of(predictor)
    task, preprocess = saved.task, saved.card.preprocess
    encoder = task.encoder(samples, predictor.classes, preprocess, FileAccess(predictor.max_pixels, predictor._s3))
    truths = Truths(encoder)

    def answer(images: Images) -> NDArray[np.floating]:
        with network_of(predictor) as lent:
            network = Network(task, lent.module, preprocess, lent.device, lent.precision)  # with the limits of scores
            batch = EVAL_BATCH[network.device.type]
            with closing(EvalLoader(images, preprocess, batch=batch, world=World.solo())) as loader:
                rows = split_rows(network, loader, encoder, details="brief")[1]
        return _answers(task, truths, rows, predictor.classes)

    return answer


def _answers(task: Task, truths: Truths, rows: Rows, classes: Sequence[str]) -> NDArray[np.floating]:
    kind = finding_kind(task)
    if kind is not None:
        return image_sums(kind.findings(truths, rows, classes))
    assert task.calibration is not None, f"{task.name} decides no classes"
    return task.calibration(truths, rows)[1]
