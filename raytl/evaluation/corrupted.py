"""The answers of a model to photos and to each corruption of them, and the file that keeps them for the next report.

`corrupted-<suite>.safetensors` has `logits (versions, n, classes) float32`, `examples (e, px, px, 3) uint8`, and `about`, JSON
in UTF-8. It belongs to one model, one suite with its amounts, and one choice of photos; otherwise it is written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.data.corruptions.suite import suite_named
from raytl.errors import RaytlError
from raytl.metrics.findings import SUMS
from raytl.models.card import Card
from raytl.run.atomic import write_bytes
from raytl.run.plain import encode
from raytl.stored import Format
from raytl.stored.bounds import Bound, Classes, Name
from raytl.tasks.findings import finding_kind
from raytl.tasks.registry import task_named
from raytl.tasks.task import Task

EXAMPLE_PX = 160
"""Side of the photos that show the corruptions."""
_MAX_EXAMPLES = 8
_MAX_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class CorruptedAnswers:
    """Answers to n photos in the order of `keys`: `logits (1 + 3 c, n, classes)`, as calibrated as the model answers, are of
    the unchanged photos, then of the three severities of each of the c corruptions of the `suite`. Of a task with findings
    they are the sums of each photo (`raytl.metrics.findings.image_sums`), `(1 + 3 c, n, 4)`.

    `examples (e, px, px, 3)` are a few of the photos, unchanged.
    """

    suite: str
    keys: tuple[str, ...]
    logits: NDArray[np.float32]
    examples: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, EXAMPLE_PX, EXAMPLE_PX, 3), np.uint8))


@dataclass(frozen=True, slots=True)
class About:
    """The model, the photos and the corruptions (with their amounts, as text) of stored answers."""

    weights: Name
    classes: Classes
    corruptions: tuple[Name, ...]
    keys: Annotated[tuple[Name, ...], Bound("distinct keys", lambda keys: len(set(keys)) == len(keys))]


ABOUT_FORMAT = Format[About](About, "answers to corrupted photos", "Remove the file.", max_bytes=1 << 28)


def corruptions_for(task: Task, suite: str) -> tuple[Corruption, ...]:
    """Return the corruptions of a suite after which the truths of `task` still hold.

    Raises:
        UserError: there is no such suite.
    """
    kind = finding_kind(task)
    return suite_named(suite, kind is not None and kind.has_places)


def write_corrupted(folder: Path, answers: CorruptedAnswers, card: Card) -> None:
    """Write the answers of the model of `card` into `folder`, completely or not at all."""
    about = np.frombuffer(encode(asdict(_about(answers.suite, answers.keys, card))), np.uint8)
    tensors = {"about": about, "logits": answers.logits, "examples": answers.examples}
    write_bytes(
        _path(folder, answers.suite), save({name: np.ascontiguousarray(each) for name, each in tensors.items()})
    )


def read_corrupted(folder: Path, suite: str, keys: Sequence[str], card: Card) -> CorruptedAnswers | None:
    """Return the stored answers of the model of `card` to the photos `keys`; None if there are none, or they are damaged."""
    path = _path(folder, suite)
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        tensors = load(path.read_bytes())
        about, logits, examples = (tensors[name] for name in ("about", "logits", "examples"))
        header = ABOUT_FORMAT.read(about.tobytes(), f"{path}: about")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RaytlError):
        return None
    expected = _about(suite, tuple(keys), card)
    width = len(card.classes) if finding_kind(task_named(card.task)) is None else SUMS
    shape = (1 + len(SEVERITIES) * len(expected.corruptions), len(keys), width)
    is_whole = logits.dtype == np.float32 and logits.shape == shape and bool(np.isfinite(logits).all())
    if header != expected or not is_whole or not _are_examples(examples):
        return None
    return CorruptedAnswers(suite, tuple(keys), logits, examples)


def _are_examples(examples: NDArray[np.uint8]) -> bool:
    return (
        examples.dtype == np.uint8
        and examples.shape[1:] == (EXAMPLE_PX, EXAMPLE_PX, 3)
        and len(examples) <= _MAX_EXAMPLES
    )


def _path(folder: Path, suite: str) -> Path:
    return folder / f"corrupted-{suite}.safetensors"


def _about(suite: str, keys: tuple[str, ...], card: Card) -> About:
    changes = corruptions_for(task_named(card.task), suite)
    corruptions = tuple(f"{each.name}: {', '.join(map(str, each.amounts))}" for each in changes)
    return About(card.digest, card.classes, corruptions, keys)
