"""The change that label methods make to the training images, as a value."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raytl.data.manifest import dataset_digest
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.labelling.suspect import SuspectLabel


@dataclass(frozen=True, slots=True)
class Reason:
    """The method that left an image out or gave it its label, such as `few.method: propagate`, and how sure it was, from 0 to 1."""

    by: str
    confidence: float | None = None


@dataclass(frozen=True)
class TrainChange:
    """The keys of training images that are left out, the images that are added with the labels that a method gave them, and
    sentences that say what was done and why. `reasons` are those of single images, by key."""

    left_out: frozenset[str] = frozenset()
    added: Sequence[Sample] = ()
    notes: tuple[str, ...] = field(default=())
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    doubtful: tuple[SuspectLabel, ...] = ()
    """The labels that `labels.noise` lists, the most doubtful first."""

    def summary(self) -> dict[str, int | str]:
        """Return the number of images that are left out and added, and the digest of their keys, and of the labels and the content
        of the added ones."""
        content = json.dumps([sorted(self.left_out), dataset_digest(self.added)]).encode()
        digest = hashlib.sha256(content).hexdigest()
        return {"left_out": len(self.left_out), "added": len(self.added), "digest": digest}

    def by_method(self) -> dict[str, int]:
        """Return the number of images that each method left out or added."""
        return dict(Counter(reason.by for reason in self.reasons.values()))

    def applied(self, train: Sequence[Sample]) -> Sequence[Sample]:
        """Return the training images after the change; the same object if nothing changes."""
        if not self.left_out and not len(self.added):
            return train
        rest = [sample for sample in train if sample.key not in self.left_out]
        return SampleTable.of([*rest, *self.added])


UNCHANGED = TrainChange()
