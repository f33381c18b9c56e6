"""The advice on a set of images, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from raytl.advice.candidates import Candidate
from raytl.config.choice import Choice
from raytl.config.schema import Experiment
from raytl.labelling.suspect import SuspectLabel
from raytl.metrics.intervals import Interval
from raytl.metrics.learning_curve import LearningCurve
from raytl.metrics.paired import Paired
from raytl.models.group_gap import GroupGap


@dataclass(frozen=True, slots=True)
class CandidateFit:
    """The separation of the classes by frozen features of a candidate: `probe` and `neighbors` are balanced accuracies.

    `parameters` are those of the backbone, `width` is the number of features, and `digest` identifies the weights. `gain`
    is what the best candidate gains over this one, None for the best; `is_worse` says whether it is more than chance.
    """

    candidate: Candidate
    digest: str
    parameters: int
    width: int
    probe: Interval
    neighbors: Interval
    log_evidence: float
    h_score: float
    gain: Paired | None = None
    is_worse: bool = False


@dataclass(frozen=True)
class Advice:
    """The advice for `experiment`, which is resolved: its model is the one that is advised.

    `images` of the `train` training images were measured, of `classes`. `fits` have the highest probe accuracy first, and
    `advised` is the smallest network of those that are not worse than the first beyond chance. `recipe` is what `recipe: auto` chooses
    for it. `unmeasured` lists what the advice does not know.
    """

    experiment: Experiment
    classes: tuple[str, ...]
    train: int
    images: int
    fits: tuple[CandidateFit, ...]
    advised: Candidate
    recipe: tuple[Choice, ...]
    curve: LearningCurve
    suspects: tuple[SuspectLabel, ...]
    unmeasured: tuple[str, ...]
    domains: tuple[GroupGap, ...] = ()
    """The accuracy on each group that a probe of the advised network never saw, for each column of groups."""
    warnings: tuple[str, ...] = field(default=(), repr=False)
    sentences: tuple[str, ...] = field(default=(), repr=False)

    @property
    def best(self) -> CandidateFit:
        """Return the candidate with the highest probe accuracy."""
        return self.fits[0]

    @property
    def advised_fit(self) -> CandidateFit:
        """Return the measurements of the advised candidate."""
        return next(fit for fit in self.fits if fit.candidate == self.advised)

    @property
    def undecided(self) -> tuple[CandidateFit, ...]:
        """Return the other candidates that are not worse than the best one beyond chance."""
        return tuple(fit for fit in self.fits[1:] if not fit.is_worse)
