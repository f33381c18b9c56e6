"""The contract of a section of `raytl report`: evidence in, sentences, tables and figures out.

A section is a pure function of the evidence. It reads no file and writes nothing; it chooses on validation and confirms on
test. To add one, write it, add it to `raytl.assessment.sections`, and to the `sections` of the tasks that it applies to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.assessment.left_out import FineTunedGap
from raytl.config.schema import ColumnRole
from raytl.data.group_split import unless_one
from raytl.data.manifest import Sample
from raytl.evaluation.robustness import PHOTOS, SUITE, Robustness
from raytl.events import OnEvent, ignore
from raytl.metrics.aim import Aim
from raytl.metrics.scores import softmax
from raytl.pages.figures import Draw

E = TypeVar("E", contravariant=True)


@dataclass(frozen=True, eq=False)
class SplitEvidence:
    """The n images of a split: `samples`, their classes `targets (n,)`, the model's calibrated `logits (n, classes)`,
    `features (n, d)` as its head sees them (d = 0 if there are none), `thumbnails (n, 32, 32, 3)` of what it sees, and
    `properties (n, 7)` (`raytl.data.image_properties.NAMES`; 0 is an unknown size). A large split has neither of the last
    three: they have no columns."""

    samples: Sequence[Sample]
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]
    features: NDArray[np.float16]
    thumbnails: NDArray[np.uint8]
    properties: NDArray[np.float32]
    groups: NDArray[np.int64] | None = None
    """The group of each image, `(n,)`; None if images are independent."""

    def __len__(self) -> int:
        return len(self.targets)

    def column(self, name: str) -> list[str]:
        """Return the value of each image in a column of the manifest; empty where it has none."""
        return column_of(self.samples, name)

    @property
    def sampling_groups(self) -> NDArray[np.int64] | None:
        """The group of each image, `(n,)`, for intervals and tests; None if images are independent, or all of one group."""
        return unless_one(self.groups)

    def groups_of(self, places: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Return the groups of the images at `places (n,)`; None if images are independent."""
        return None if self.groups is None else self.groups[places]

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The calibrated probabilities, `(n, classes)`."""
        return softmax(self.logits)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class of each answer, `(n,)`."""
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """True where the answer is the class of the image, `(n,)`."""
        return np.asarray(self.predicted == self.targets)


def column_of(samples: Sequence[Sample], name: str) -> list[str]:
    """Return the value of each sample in a column of the manifest; empty where it has none."""
    return [dict(sample.columns).get(name, "") for sample in samples]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence that a report is computed from. `train` is None with `--quick`, and where no section needs it.

    `temperature` is that by which the logits were divided, None if the model is not calibrated; `expected_temperature` is the
    one that its label smoothing lets expect.
    """

    classes: tuple[str, ...]
    val: SplitEvidence
    test: SplitEvidence
    train: SplitEvidence | None = None
    temperature: float | None = None
    expected_temperature: float = 1.0
    robustness: Robustness | None = None
    """The answers to corrupted validation photos; None if no section needs them."""
    columns: Mapping[str, ColumnRole] = field(default_factory=dict)
    """The columns of the manifest that describe the images, `data.columns`."""
    pretrained: PretrainedFeatures | None = None
    """Features of the network from which the run started, for the groups; None with `--quick`, and where they are not known."""
    fine_tuned: tuple[FineTunedGap, ...] = ()
    """The gaps of groups that fine-tuned networks show; empty until a report with `--full`, and with `--quick`."""


@dataclass(frozen=True, eq=False)
class PretrainedFeatures:
    """The features `(n, d)` of images of train and then validation, at `places (n,)`."""

    places: NDArray[np.int64]
    features: NDArray[np.float32]


class LiveModel(Protocol):
    """The model itself, for sections that change images and see how its answers change. Never used on test images."""

    def views(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Return the images as the network sees them, `(n, h, w, 3)`."""
        ...

    def probabilities(self, views: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the calibrated answers to `views (n, h, w, 3)`, `(n, classes)`."""
        ...


@dataclass(frozen=True)
class Options:
    """The choices of a report: the `aims` that must be met, and whether it is to be `quick`. `seed` is that of simulations.

    At most `photos` validation photos are corrupted, by the corruptions of `suite`. `model` loads the model, and `open_photos`
    opens photos of train and validation; they are None with `quick`, so a section must do without.
    """

    aims: tuple[Aim, ...] = ()
    quick: bool = False
    seed: int = 0
    model: Callable[[], LiveModel] | None = None
    on_event: OnEvent = ignore
    suite: str = SUITE
    photos: int = PHOTOS
    open_photos: Callable[[Sequence[Sample]], list[Image.Image | None]] | None = None


@dataclass(frozen=True)
class Table:
    """A table with a `title`; the columns in `numbers` are flush right."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A chart: the name of its PNG file without `.png` (letters and dashes, unique in the report), and what its colors mean."""

    file: str
    title: str
    caption: str
    draw: Draw


@dataclass(frozen=True, eq=False)
class Picture:
    """Photos: the name of the PNG file without `.png` (letters and dashes, unique in the report), and what they show."""

    file: str
    title: str
    caption: str
    image: Image.Image


@dataclass(frozen=True)
class SectionResult:
    """The content of a section. `sentences` are its conclusions, the most important first; `warnings` are shown as such.

    `json` has its numbers for report.json. `files` are more files of the report by name, as text. `unmet` has a sentence for
    each aim that is not met.
    """

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    pictures: tuple[Picture, ...] = ()
    json: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    unmet: tuple[str, ...] = ()

    @property
    def picture_files(self) -> tuple[str, ...]:
        """Return the names of all PNG files, without `.png`."""
        return (*(each.file for each in self.figures), *(each.file for each in self.pictures))


class Section(Protocol[E]):
    """A section: a module-level value. It takes `Evidence`, or that of a task with findings, `FindingEvidence`."""

    @property
    def name(self) -> str:
        """Return its name in `--sections` and report.json."""
        ...

    @property
    def needs_train(self) -> bool:
        """Return True if it uses the train split; with `--quick`, `Evidence.train` is None all the same."""
        ...

    def __call__(self, evidence: E, options: Options) -> SectionResult:
        """Return the content of the section."""
        ...
