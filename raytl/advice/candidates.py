"""The weights to compare: names of models with their pretrained weights, and files, runs or versions of a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.schema import ModelConfig
from raytl.errors import ModelError, RaytlError
from raytl.models.backbone import preprocess_of
from raytl.models.weights import is_weights_file, read
from raytl.registry.reference import is_reference
from raytl.store.s3_settings import S3Settings
from raytl.uris import has_scheme

LIGHT = ("mobilenetv2_100", "resnet18", "efficientnet_b0", "vit_tiny_patch16_224")
"""Networks of at most 12 million parameters that are compared by default, as far as their weights are available."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A `model` and its `weights`, both as an experiment names them; `text` is what the user wrote."""

    text: str
    model: str
    weights: str = "pretrained"

    @property
    def label(self) -> str:
        """Return a short name: that of the model, or the last part of where its weights are."""
        if self.weights == "pretrained":
            return self.model
        return self.weights.rstrip("/").rpartition("/")[2]


def default_candidates(model: ModelConfig) -> tuple[Candidate, ...]:
    """Return the model of the experiment and light ones."""
    own = Candidate(model.name if model.weights == "pretrained" else model.weights, model.name, model.weights)
    others = (Candidate(name, name) for name in LIGHT if (name, "pretrained") != (own.model, own.weights))
    return (*([] if model.weights == "none" else [own]), *others)


def named_candidates(texts: Sequence[str], model: str | None, s3: S3Settings) -> tuple[Candidate, ...]:
    """Return the candidate of each text: `MODEL`, `MODEL=WEIGHTS`, or `WEIGHTS`, as `model.weights` takes them.

    The model of weights alone is the one that they were saved with, or `model`, or the one that a file is named after.

    Raises:
        ModelError: with every text that names no candidate.
    """
    candidates, problems = [], []
    for text in dict.fromkeys(texts):
        try:
            candidates.append(_candidate(text.strip(), model, s3))
        except RaytlError as problem:
            problems.append(str(problem))
    if problems:
        raise ModelError("\n".join(problems))
    return tuple(candidates)


def _candidate(text: str, model: str | None, s3: S3Settings) -> Candidate:
    name, equals, place = text.partition("=")
    if equals and "/" not in name:
        return Candidate(text, name, _source(place, text))
    if not _is_place(text):
        return Candidate(text, _source(text, text))
    saved = read(text, s3).model
    chosen = saved or model or _named_after(Path(text).name, s3)
    if chosen is None:
        raise ModelError(f"--weights {text}: its model is unknown; expected MODEL={text}, or --model MODEL beside it")
    return Candidate(text, chosen, text)


def _source(name: str, text: str) -> str:
    if name in ("", "none"):
        raise ModelError(f"--weights {text!r}: found no source weights; expected a model, MODEL=WEIGHTS or WEIGHTS")
    return name


def _is_place(text: str) -> bool:
    if not text:
        return False
    is_named = is_reference(text) or (has_scheme(text) and not text.startswith("torchvision:"))
    return is_named or is_weights_file(text) or Path(text).is_dir()


def _named_after(file: str, s3: S3Settings) -> str | None:
    """Return the model whose name a file's name begins with, the longest: `resnet18_a1.safetensors` is a resnet18."""
    words = re.split(r"([_.-])", file)
    names = ("".join(words[:length]) for length in range(len(words), 0, -2))
    return next((name for name in names if _is_model(name, s3)), None)


def _is_model(name: str, s3: S3Settings) -> bool:
    try:
        preprocess_of(ModelConfig(name=name), s3)
    except ModelError:
        return False
    return True
