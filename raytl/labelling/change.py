"""The change that label methods make to the training images, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from raytl.adaptation.statistics import Statistics
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable


@dataclass(frozen=True)
class TrainChange:
    """The keys of training images that are left out, the images that are added with the labels that a method gave them, and
    sentences that say what was done and why. `statistics` replace those of the network's BatchNorm, which keeps them."""

    left_out: frozenset[str] = frozenset()
    added: Sequence[Sample] = ()
    notes: tuple[str, ...] = field(default=())
    statistics: Statistics | None = None

    def applied(self, train: Sequence[Sample]) -> Sequence[Sample]:
        """Return the training images after the change; the same object if nothing changes."""
        if not self.left_out and not len(self.added):
            return train
        rest = [sample for sample in train if sample.key not in self.left_out]
        return SampleTable.of([*rest, *self.added])


UNCHANGED = TrainChange()
