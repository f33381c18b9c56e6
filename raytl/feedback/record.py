"""One kept answer as stored in `records/`: JSON lines, each within bounds."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.errors import DataError
from raytl.feedback.layout import SUFFIXES, photo_key
from raytl.stored import Format
from raytl.stored.bounds import Bound, Count, Digest, Moment, Name, at_most, within

Why = Literal["random", "uncertain", "unfamiliar"]
TOP = 5
"""Probabilities that a record has."""
MAX_FEATURES = 8192
_Fraction = Annotated[float, within(0, 1)]
_Suffix = Annotated[str, Bound(f"one of {', '.join(SUFFIXES)}", lambda text: text in SUFFIXES)]


def _is_half_precision(text: str) -> bool:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(content) % 2 == 0 and bool(np.isfinite(np.frombuffer(content, "<f2")).all())


_Features = Annotated[
    str,
    at_most(4 * -(-2 * MAX_FEATURES // 3)),
    Bound("finite half-precision numbers in base64", _is_half_precision),
]


@dataclass(frozen=True, slots=True)
class Record:
    """A kept answer. `photo` is the sha256 of the stored photo; it is not stored if `suffix` is empty.

    `why` it was kept; for `random`, `inclusion` is the probability with which any answer of its window was kept, else 0.
    `probabilities` are the highest ones, `features` what the model's head saw, and `pixels` photographic properties.
    """

    photo: Digest
    suffix: _Suffix | Literal[""]
    time: Moment
    version: Name
    why: Why
    inclusion: _Fraction
    label: Name = ""
    confidence: _Fraction = 0.0
    probabilities: Annotated[Mapping[Name, _Fraction], at_most(TOP, "classes")] = field(default_factory=dict)
    flags: Annotated[tuple[Literal["unfamiliar", "abstained"], ...], at_most(2, "flags")] = ()
    features: _Features = ""
    pixels: Annotated[Mapping[Name, float], at_most(20, "properties")] = field(default_factory=dict)
    seen: Count = 0
    """Answers of the window."""

    @property
    def key(self) -> str:
        """The key of the photo below the prefix."""
        return photo_key(self.photo, self.suffix)

    @property
    def vector(self) -> NDArray[np.float32]:
        """The features, `(d,)`; d = 0 if there are none."""
        return np.frombuffer(base64.b64decode(self.features), "<f2").astype(np.float32)

    @property
    def margin(self) -> float:
        """The difference of the two highest probabilities; small if the answer is uncertain."""
        return margin(self.probabilities, self.confidence)

    def line(self) -> bytes:
        """Return the record as a JSON line."""
        return json.dumps(asdict(self), allow_nan=False).encode() + b"\n"


RECORD_FORMAT = Format[Record](
    Record,
    "the record of an answer",
    "The object was damaged or edited: delete it.",
    DataError,
    max_bytes=128 << 10,
    max_total_bytes=64 << 20,
)


def margin(probabilities: Mapping[str, float], confidence: float) -> float:
    """Return the difference of the two highest probabilities; the confidence, if there is only one."""
    top = sorted(probabilities.values(), reverse=True)[:2]
    return top[0] - top[1] if len(top) == 2 else confidence


def confidence_in(answer: Mapping[str, Any]) -> float:
    """Return the confidence of an answer of any task: of objects that of the surest one, of labels that of the least sure one."""
    if "confidence" in answer:
        sure = float(answer["confidence"])
    elif "objects" in answer:
        sure = max((float(each["score"]) for each in answer["objects"]), default=0.0)
    else:
        sure = min((max(float(p), 1 - float(p)) for p in answer.get("probabilities", {}).values()), default=0.0)
    return min(1.0, max(0.0, sure))


def label_in(answer: Mapping[str, Any]) -> str:
    """Return the class of an answer; of several labels or objects their names, each once."""
    names = answer.get("labels") or [each["label"] for each in answer.get("objects", ())]
    return str(answer.get("label", ", ".join(sorted(set(map(str, names))))))[:4096]


def margin_in(answer: Mapping[str, Any]) -> float:
    """Return how far an answer is from another one: small if it is uncertain."""
    sure = confidence_in(answer)
    return margin(answer.get("probabilities", {}), sure) if "confidence" in answer else sure


def encoded_features(features: NDArray[np.floating] | None) -> str:
    """Return features in half precision as base64; empty if there are none, too many, or some are not finite."""
    if features is None or not 0 < features.size <= MAX_FEATURES:
        return ""
    with np.errstate(over="ignore"):
        half = np.asarray(features).ravel().astype("<f2")
    return base64.b64encode(half.tobytes()).decode() if np.isfinite(half).all() else ""
