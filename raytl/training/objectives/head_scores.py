"""The accuracy of auxiliary heads on the validation split, beside that of always giving the most frequent answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.data.column_values import NO_VALUE
from raytl.models.forward import BatchLike
from raytl.tasks.inference import Network
from raytl.training.objectives.auxiliary import Auxiliary
from raytl.training.objectives.joint import FeatureTap
from raytl.training.objectives.objective import LABELLED
from raytl.training.objectives.rotation import TURNED, Turns, turned

PREFIX = "auxiliary/"
"""The beginning of the names of these scores."""


@dataclass(frozen=True)
class HeadTruth:
    """The `classes (m,)` of the validation images for a head (`NO_VALUE` = none), and the `usual` one in training; None if all are equally
    frequent there."""

    classes: NDArray[np.int64]
    usual: int | None


@dataclass(frozen=True)
class HeadScores:
    """The heads of `term` and the `truths` of each (`raytl.training.objectives.objective.Validated`).

    The weights that validation scores may be an average (`optim.ema`); the heads are as they are.
    """

    term: Auxiliary
    truths: Sequence[HeadTruth]
    tap: FeatureTap
    turns: Turns

    @torch.inference_mode()
    def answers(self, network: Network, batch: BatchLike) -> NDArray[np.int64]:
        """Return the class of each head for each image of the batch that this thread passed through `network`, `(b, heads)`.

        For a head that learns turned copies, these pass through it now.
        """
        features = {LABELLED: self.tap.answered()}
        if TURNED in self.term.views:
            copies = turned(batch.images, self.turns.of(batch.ids, 0))
            network.answers(copies, [(copies.shape[3], copies.shape[2])] * len(copies))
            features[TURNED] = self.tap.answered()
        layers = self.term.state.heads
        logits = [layer(features[head.view]) for head, layer in zip(self.term.heads, layers, strict=True)]
        return torch.stack([each.argmax(dim=1) for each in logits], dim=1).cpu().numpy()

    def scores(self, answers: NDArray[np.int64]) -> dict[str, float]:
        """Return the accuracy of each head, that of the usual class, and the number of images with a class; nothing for a head
        without such images."""
        result: dict[str, float] = {}
        for place, (head, truth) in enumerate(zip(self.term.heads, self.truths, strict=True)):
            has_class = truth.classes != NO_VALUE
            if not has_class.any():
                continue
            classes = truth.classes[has_class]
            usual_accuracy = 1 / head.classes if truth.usual is None else float((classes == truth.usual).mean())
            result |= {
                f"{PREFIX}{head.name}/accuracy": float((answers[has_class, place] == classes).mean()),
                f"{PREFIX}{head.name}/usual_accuracy": usual_accuracy,
                f"{PREFIX}{head.name}/images": float(len(classes)),
            }
        return result
