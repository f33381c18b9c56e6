"""The answers of a model to a split and the features of its images, stored beside the report, so that `raytl report` reads no
test image.

`evidence.safetensors` has `logits (n, classes) float32`, calibrated as the model answers, `features (n, d) float16` as its
head sees them (d = 0 if there are none), `thumbnails (n, 32, 32, 3) uint8` of what it sees, the `properties (n, 7) float32` of
the images (`raytl.data.image_properties`; 0 is an unknown size), and `about`, JSON in UTF-8, with the keys of the images in
the order of the rows. A large split has neither features nor thumbnails nor properties: they have no columns. A task with
findings has no logits, and the arrays of `raytl.evaluation.findings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from raytl.data.image_properties import NAMES, THUMBNAIL_PX
from raytl.data.manifest import Sample
from raytl.errors import RunError
from raytl.evaluation.findings import Arrays, WrongFindings, arrays_of, findings_of, in_order
from raytl.metrics.findings import Findings
from raytl.models.card import Card
from raytl.run.atomic import write_bytes
from raytl.run.plain import encode
from raytl.stored import Format
from raytl.stored.bounds import Bound, Classes, Name
from raytl.tasks.findings import FindingKind, finding_kind
from raytl.tasks.registry import task_named

EVIDENCE = "evidence.safetensors"
MAX_FEATURE_IMAGES = 100_000
"""Images of a split up to which features are stored: 256 MB for 1,280 features."""
_MAX_FEATURES = 1 << 16
_ARRAYS = ("logits", "features", "thumbnails", "properties")
_MAX_BYTES = 8 << 30
_ADVICE = "Remove the file; for the test split, `raytl evaluate --again` writes it again."


@dataclass(frozen=True, slots=True)
class About:
    """The model and the images of stored evidence: the digest of its weights, its classes, and the keys of the images."""

    weights: Name
    split: Name
    classes: Classes
    keys: Annotated[tuple[Name, ...], Bound("distinct keys", lambda keys: len(set(keys)) == len(keys))]


ABOUT_FORMAT = Format[About](About, "the evidence of an evaluation", _ADVICE, max_bytes=1 << 30)


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to n images in the order of `keys`, with the arrays of the file; `findings` of a task that has them."""

    keys: tuple[str, ...]
    logits: NDArray[np.float32]
    features: NDArray[np.float16]
    thumbnails: NDArray[np.uint8]
    properties: NDArray[np.float32]
    findings: Findings | None = None

    @classmethod
    def without_features(
        cls, keys: tuple[str, ...], logits: NDArray[np.float32], findings: Findings | None = None
    ) -> Answers:
        """Return answers to a split that is too large for the rest."""
        n = len(keys)
        thumbnails, properties = np.zeros((n, 0, 0, 3), np.uint8), np.zeros((n, 0), np.float32)
        return cls(keys, logits, np.zeros((n, 0), np.float16), thumbnails, properties, findings)


def write_evidence(folder: Path, answers: Answers, split: str, card: Card) -> None:
    """Write the answers of the model of `card` to `split` into `folder`, completely or not at all."""
    about = encode(asdict(About(card.digest, split, card.classes, answers.keys)))
    tensors: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(about, np.uint8),
        **{name: np.ascontiguousarray(getattr(answers, name)) for name in _ARRAYS},
        **(arrays_of(answers.findings) if answers.findings is not None else {}),
    }
    write_bytes(folder / EVIDENCE, save(tensors))


def read_evidence(folder: Path, split: str, card: Card, samples: Sequence[Sample]) -> Answers:
    """Return the stored answers of the model of `card`, in the order of `samples`.

    Raises:
        RunError: the evidence is damaged, or that of another model, split or other images.
    """
    path = folder / EVIDENCE
    about, arrays, findings = _tensors(path)
    if (about.weights, about.split, about.classes) != (card.digest, split, card.classes):
        raise RunError(
            f"{path}: found answers of weights {about.weights[:12]} to the {about.split} split; expected those of the run's "
            f"weights {card.digest[:12]} to {split}. {_ADVICE}"
        )
    if not _fits(findings, finding_kind(task_named(card.task))):
        raise RunError(f"{path}: found answers of another task; expected those of {card.task}. {_ADVICE}")
    place = {key: i for i, key in enumerate(about.keys)}
    keys = tuple(sample.key for sample in samples)
    if place.keys() != set(keys):
        raise RunError(f"{path}: found answers for other images; expected those of the run's {split} split. {_ADVICE}")
    order = np.array([place[key] for key in keys])
    ordered = None if findings is None else in_order(findings, order)
    logits, features, thumbnails, properties = (array[order] for array in arrays)
    return Answers(keys, logits, features, thumbnails, properties, ordered)


def _tensors(path: Path) -> tuple[About, list[NDArray[Any]], Findings | None]:
    """Return the parts of the file, the arrays in the order of `Answers`, with their types and shapes checked."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RunError(f"{path}: found {path.stat().st_size:,} bytes; expected {_MAX_BYTES:,} at most. {_ADVICE}")
        tensors = load(path.read_bytes())
        about, *arrays = (tensors[name] for name in ("about", *_ARRAYS))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); expected the evidence of an evaluation. {_ADVICE}"
        ) from error
    if about.dtype != np.uint8 or about.ndim != 1:
        raise RunError(f"{path}: about: found {about.dtype} {about.shape}; expected bytes. {_ADVICE}")
    header = ABOUT_FORMAT.read(about.tobytes(), f"{path}: about")
    logits, features, thumbnails, properties = arrays
    count, width = len(header.keys), features.shape[1] if features.ndim == 2 else 0
    has_more = properties.shape != (count, 0)
    side = THUMBNAIL_PX if has_more else 0
    findings = _findings(path, tensors, count, len(header.classes))
    _check(path, "logits", logits, np.float32, (count, len(header.classes) if findings is None else 0))
    _check(path, "features", features, np.float16, (count, min(width, _MAX_FEATURES)))
    _check(path, "thumbnails", thumbnails, np.uint8, (count, side, side, 3))
    _check(path, "properties", properties, np.float32, (count, len(NAMES) if has_more else 0))
    return header, arrays, findings


def _fits(findings: Findings | None, kind: FindingKind | None) -> bool:
    """Return True if a task with findings of this `kind` stores such findings."""
    if findings is None or kind is None:
        return findings is None and kind is None
    return bool(findings.boxes.shape[1]) == kind.has_places and (findings.pixels is not None) == kind.has_pixels


def _findings(path: Path, tensors: Arrays, images: int, classes: int) -> Findings | None:
    try:
        return findings_of(tensors, images, classes)
    except WrongFindings as error:
        raise RunError(f"{path}: {error}. {_ADVICE}") from error


def _check(path: Path, name: str, values: NDArray[Any], kind: type, shape: tuple[int, ...]) -> None:
    if values.dtype != kind or values.shape != shape:
        raise RunError(
            f"{path}: {name}: found {values.dtype} {values.shape}; expected {np.dtype(kind)} {shape}. {_ADVICE}"
        )
    if not np.isfinite(values).all():
        raise RunError(f"{path}: {name}: found values that are not finite; expected numbers. {_ADVICE}")
