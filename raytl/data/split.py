"""Assign samples to train, val and test by a hash of their keys, so that no sample ever changes its split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Literal, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from raytl.config.schema import DataConfig
from raytl.data.feedback import is_feedback
from raytl.data.group_split import group_codes, group_columns
from raytl.data.manifest import SPLITS, Sample, dataset_digest, listed
from raytl.data.position import position as position
from raytl.data.sample_table import SampleTable
from raytl.data.targets import names_in
from raytl.data.texts import Coded
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format

_TRAIN, _VAL, _TEST = range(len(SPLITS))
ClassesOf = Callable[[Sequence[Sample]], tuple[str, ...]]
"""From the training samples to the outputs to learn; raises a DataError if they cannot be learned."""


class TestSetAccess(Protocol):
    """Proof that an evaluation on the test split was recorded; `look` is its one-based number."""

    @property
    def look(self) -> int:
        """Return the number of the look, from 1."""
        ...


class LockedSplit:
    """The hidden test samples: only their count and digest are public; `unlock` requires a `TestSetAccess`.

    It cannot be pickled, so it never reaches the training workers.
    """

    __slots__ = ("__samples", "count", "digest")

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.__samples = SampleTable.of(samples)
        self.count = len(self.__samples)
        self.digest = dataset_digest(self.__samples)

    def unlock(self, entry: TestSetAccess) -> SampleTable:
        """Return the test samples for an entry of the run's ledger."""
        assert entry.look >= 1, f"look {entry.look}: looks are counted from 1"
        return self.__samples

    def __repr__(self) -> str:
        return f"LockedSplit({self.count} samples, {self.digest[:12]})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the test split is locked and stays on the driver; send only train and val")


@dataclass(frozen=True)
class Splits:
    """The samples by split; `classes` are the outputs to learn from train, in order."""

    train: SampleTable
    val: SampleTable
    test: LockedSplit
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def images(self) -> dict[str, int]:
        """The number of samples by split."""
        return {"train": len(self.train), "val": len(self.val), "test": self.test.count}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the samples per split that contain each class; of the locked test split only the total (class `""`)."""
        by_class = {name: _counted(getattr(self, name), self.classes) for name in ("train", "val")}
        return {**by_class, "test": {"": self.test.count}}


def assign(
    samples: Sequence[Sample], val_fraction: float, test_fraction: float, groups: Collection[str] = ()
) -> SampleTable:
    """Return the samples with `split` set: splits defined by the data are kept, missing ones are drawn from the rest.

    A sample goes to test if its `position` is below `test_fraction`, and to val if it is in the top `val_fraction`. So every
    class gives the same fraction, and no sample moves when others are added, removed or relabeled, or when only the other
    fraction changes. A class that would be left without a training sample keeps one.

    With `groups`, the names of columns, whole groups are drawn by their own position (`raytl.data.group_split`).

    Raises:
        DataError: the fractions leave nothing to train on, or there are too few groups.
    """
    table = SampleTable.of(samples)
    defined = {split for split, _ in table.splits.counts()}
    test = 0.0 if "test" in defined else test_fraction
    val = 0.0 if "val" in defined else val_fraction
    if test + val >= 1.0:
        raise DataError(
            f"data.val_fraction {val:g} + data.test_fraction {test:g} leave no training data; expected a sum below 1"
        )
    codes = table.splits.mapped(lambda split: SPLITS.index(split or "train"), np.uint8)
    movable = codes == _TRAIN
    if (test or val) and groups:
        codes[movable] = group_codes(table.where(movable), groups, val, test)
    elif test or val:
        places = np.array([position(key) for key in compress(table.keys, movable.tolist())])
        codes[movable] = np.select([places < test, places >= 1.0 - val], [_TEST, _VAL], _TRAIN)
        codes[_kept_in_train(table, np.flatnonzero(movable), codes)] = _TRAIN
    return table.with_splits(Coded(SPLITS, codes))


@dataclass(frozen=True, slots=True)
class _SplitRow:
    """A line of `data.split_file`."""

    key: str
    split: Literal["train", "val", "test"]


SPLIT_FILE_FORMAT = Format[_SplitRow](
    _SplitRow, "a line of key and split", "`raytl retrain` writes such files.", DataError, max_bytes=1 << 18
)


def apply_splits(samples: Sequence[Sample], config: DataConfig, s3: S3Settings = ENVIRONMENT) -> SampleTable:
    """Return the samples with `split` set: those listed in `data.split_file`, or if it is not set, as `assign` does.

    Raises:
        DataError: the split file cannot be parsed, or lists none of the samples.
        StoreError: it does not exist.
    """
    if config.split_file is None:
        return _drawn(SampleTable.of(samples), config)
    folder, _, name = config.split_file.rpartition("/")
    content = retried(lambda: open_store(folder or ".", s3).get_bytes(name))
    splits = {
        nfc(row.key): row.split for row in SPLIT_FILE_FORMAT.lines(content, f"data.split_file: {config.split_file}")
    }
    table = SampleTable.of(samples)
    given = Coded[str | None].of(splits.get(key) for key in table.keys)
    is_listed = given.mapped(lambda split: split is not None, np.bool_)
    if not is_listed.any():
        raise DataError(f"data.split_file: {config.split_file} lists none of the {len(samples)} images")
    return table.with_splits(given).where(is_listed)


def _drawn(samples: SampleTable, config: DataConfig) -> SampleTable:
    """Return the samples with the splits that `assign` draws; labelled feedback images are training images."""
    groups = group_columns(config.columns)
    rows = (
        np.fromiter(map(is_feedback, samples.keys), np.bool_, len(samples))
        if config.feedback
        else np.zeros(1, np.bool_)
    )
    if not rows.any():
        return assign(samples, config.val_fraction, config.test_fraction, groups)
    drawn = iter(assign(samples.where(~rows), config.val_fraction, config.test_fraction, groups).splits)
    return samples.with_splits(Coded[str | None].of("train" if is_own else next(drawn) for is_own in rows.tolist()))


def _kept_in_train(samples: SampleTable, movable: NDArray[np.int64], codes: NDArray[np.uint8]) -> list[int]:
    """Return, for each class that lost all its train samples, the index of the one closest to the middle."""
    targets = samples.targets
    trained = {
        name for target, _ in targets.take(movable[codes[movable] == _TRAIN]).counts() for name in names_in(target)
    }
    lacks = targets.mapped(lambda target: not trained.issuperset(names_in(target)), np.bool_)
    lacking: dict[str, list[int]] = defaultdict(list)
    for index in movable[lacks[movable]].tolist():
        for name in names_in(targets[index]):
            if name not in trained:
                lacking[name].append(index)
    return [
        min(rows, key=lambda row: (abs(position(samples.keys[row]) - 0.5), samples.keys[row]))
        for rows in lacking.values()
    ]


def class_names(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return the names in the targets of the samples, sorted."""
    return tuple(sorted(images_by_class(samples)))


def divide(samples: Sequence[Sample], classes_of: ClassesOf = class_names) -> Splits:
    """Return the splits of assigned (and audited) samples, with test locked.

    If none of the classes is a name in a target, as in a regression, the names are not compared between the splits.

    Raises:
        DataError: train or val is empty, train has only one class, val or test have classes that train lacks, or `classes_of`
            raises one.
    """
    table = SampleTable.of(samples)
    splits = {name: table.of_split(name) for name in SPLITS}
    assert sum(map(len, splits.values())) == len(samples), "every sample needs a split: call assign() first"
    classes: tuple[str, ...] = ()
    problems: list[str] = []
    try:
        classes = classes_of(splits["train"])
    except DataError as error:
        problems.append(str(error))
    else:
        problems += _problems(splits, classes)
    if problems:
        raise DataError("the splits cannot be used:\n" + "\n".join(problems))
    warnings = _warnings(splits, classes)
    return Splits(splits["train"], splits["val"], LockedSplit(splits["test"]), classes, warnings)


def images_by_class(samples: Iterable[Sample]) -> Counter[str]:
    """Return the number of images that contain each class."""
    counts = Counter[str]()
    for target, count in SampleTable.of(samples).targets.counts():
        counts.update(dict.fromkeys(names_in(target), count))
    return counts


def _counted(samples: Iterable[Sample], classes: Collection[str]) -> dict[str, int]:
    wanted = set(classes)
    return {name: count for name, count in images_by_class(samples).items() if name in wanted}


def _problems(splits: dict[str, SampleTable], classes: tuple[str, ...]) -> list[str]:
    problems = []
    are_names = _are_names(splits["train"], classes)
    if are_names and len(classes) < 2 and splits["train"].kinds() <= {str}:
        problems.append(
            f"train has {len(classes)} class(es) {list(classes)}; expected two or more: add training images"
        )
    if not splits["val"]:
        problems.append(
            "val is empty, but is needed to select the best checkpoint; raise data.val_fraction or add val images"
        )
    train_classes = set(classes)
    for name in ("val", "test") if are_names else ():
        counts = images_by_class(splits[name])
        unknown = {label: count for label, count in counts.items() if label not in train_classes}
        if unknown:
            lines = [f"{label!r} ({count} images)" for label, count in sorted(unknown.items())]
            problems.append(
                f"{name} has {len(lines)} classes that train lacks (train has {len(classes)}: "
                f"{', '.join(map(repr, classes[:10]))}{' ...' if len(classes) > 10 else ''}):\n{listed(lines)}\n"
                f"Add training images for them, fix their names, or remove them from {name}."
            )
    return problems


def _are_names(train: Iterable[Sample], classes: Collection[str]) -> bool:
    """Return True if classes are names in the targets of `train`, or if there are neither."""
    names = set(class_names(train))
    return not names or not names.isdisjoint(classes)


def _warnings(splits: dict[str, SampleTable], classes: tuple[str, ...]) -> tuple[str, ...]:
    lines = []
    are_names = _are_names(splits["train"], classes)
    singletons = [name for name, count in _counted(splits["train"], classes).items() if count == 1]
    if singletons:
        lines.append(
            f"{len(singletons)} classes have only one training image:\n{listed(sorted(map(repr, singletons)))}"
        )
    for name in ("val", "test"):
        missing = sorted(set(classes) - images_by_class(splits[name]).keys())
        if not splits[name]:
            lines.append(f"{name} is empty, so nothing can be evaluated on it")
        elif missing and are_names:
            lines.append(
                f"{name} has no images of {len(missing)} of {len(classes)} classes:\n{listed([repr(label) for label in missing])}"
            )
    return tuple(lines)
