"""The explanations of a model's answers as one value, and as `explanations.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from raytl.stored import Format
from raytl.stored.bounds import FilePath, Inside, Name, Score, at_most, within
from raytl.tasks.reporting import Unreadable

FILE = "explanations.json"
_Names = Annotated[tuple[Name, ...], at_most(100_000, "names")]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One map: of the evidence for `label` in the photo at `path`, with the model's `confidence` in it.

    `predicted` are the classes of the answer, `true` those of the annotation; `correct` is None where the truth is not known.
    `picture` is the PNG below the folder. `x` and `y` are the center of mass in fractions of the photo's width and height;
    `border` and `center` are the shares of the evidence in the outer tenth and the middle half of the network's view; they are
    undefined without evidence for the class. `peak` is the highest value, in units of the method.
    """

    path: FilePath
    label: Name
    confidence: Annotated[float, within(0, 1.000001)]
    predicted: _Names
    true: _Names | None
    correct: bool | None
    method: Name
    picture: Inside
    x: Score
    y: Score
    border: Score
    center: Score
    peak: Score


@dataclass(frozen=True, slots=True)
class Explanations:
    """All maps, wrong answers first, then by falling confidence; `why` says why `method` was used.

    `split` is that of the mistakes, None for photos that a user names. `unreadable` are the photos without a map and the
    reasons; `left_out` has the other files in folders by reason.
    """

    model: Name
    weights: Name
    method: Name
    why: Name
    split: Name | None
    explanations: tuple[Explanation, ...]
    unreadable: tuple[Unreadable, ...] = ()
    left_out: Mapping[Name, tuple[FilePath, ...]] = field(default_factory=dict)
    format: Literal[1] = 1

    @property
    def wrong(self) -> int:
        """The number of maps of wrong answers."""
        return sum(each.correct is False for each in self.explanations)

    def to_json(self) -> dict[str, Any]:
        """Return the explanations in JSON's types."""
        return asdict(self)


EXPLANATIONS_FORMAT = Format[Explanations](
    Explanations, "explanations that `raytl explain` wrote", "Run `raytl explain` again.", max_bytes=1 << 30
)
