"""Explain a class map: a statement for each class that it has, by the pixels that are answered so.

The score of a class is the sum of its logits over the pixels that are predicted as it (Vinogradova et al. 2020), by the size of the
view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from raytl.data.class_maps import BACKGROUND
from raytl.data.targets import Instances, Mask, Target
from raytl.metrics.segmentation import ClassMap
from raytl.tasks.explaining import Statement


class MapsExplaining:
    """See `raytl.tasks.explaining.Explaining`."""

    measure = "of the photo"
    has_mistakes = False

    def predicted(self, answer: ClassMap, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that any pixel is answered as, without the background, the largest first."""
        counts = np.bincount(answer.ravel(), minlength=len(classes))
        order = np.argsort(-counts, kind="stable").tolist()
        return tuple(classes[i] for i in order if counts[i] and classes[i] != BACKGROUND)

    def true(self, target: Target) -> tuple[str, ...] | None:
        """Return the classes that are annotated, without the background; None without an annotation."""
        match target:
            case Instances(instances=instances):
                return tuple(dict.fromkeys(each.label for each in instances if not each.crowd))
            case Mask(present=present) if present:
                return tuple(name for name in present if name != BACKGROUND)
            case _:
                return None

    def statements(
        self, answer: ClassMap, classes: Sequence[str], target: Target, only: str | None
    ) -> tuple[Statement, ...]:
        """Return the classes of the map, each with the part of the photo that is answered as it."""
        names = self.predicted(answer, classes) if only is None else (only,)
        places = [classes.index(name) for name in names]
        return tuple(Statement(place, classes[place], float((answer == place).mean())) for place in places)

    def scores(self, outputs: Any, places: Tensor) -> Tensor:
        """Return the mean over the view of the logits at the pixels of each class, from logits `(n, classes, h, w)`: `(n,)`."""
        logits: Tensor = outputs.float()
        own = logits.gather(1, places.view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:]))[:, 0]
        chosen = (logits.argmax(dim=1) == places.view(-1, 1, 1)).to(own.dtype)
        return (own * chosen).mean(dim=(1, 2))

    def stored(self, outcomes: Path) -> Mapping[str, bool]:
        """Return nothing: no map is simply right or wrong."""
        return {}


EXPLAINING = MapsExplaining()
