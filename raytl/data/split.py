"""Who trains, who validates and who is locked away: decided by each sample's own key, so that nobody changes side."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

from raytl.config.schema import DataConfig
from raytl.data.manifest import SPLITS, Sample, dataset_digest, listed
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format


class TestSetAccess(Protocol):
    """Proof that a look at the test split was written down; `look` is its one-based number."""

    @property
    def look(self) -> int:
        """Which look it is, from 1."""
        ...


class LockedSplit:
    """The test samples, out of sight: counted and named by a digest, given only to who shows a `TestSetAccess`.

    It refuses to be pickled, so it cannot travel to the workers that train.
    """

    __slots__ = ("__samples", "count", "digest")

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.__samples = tuple(samples)
        self.count = len(self.__samples)
        self.digest = dataset_digest(self.__samples)

    def unlock(self, entry: TestSetAccess) -> tuple[Sample, ...]:
        """The test samples, for an entry of the run's ledger."""
        assert entry.look >= 1, f"look {entry.look}: looks are counted from 1"
        return self.__samples

    def __repr__(self) -> str:
        return f"LockedSplit({self.count} samples, {self.digest[:12]})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the test split is locked: it stays on the driver; send train and val only")


@dataclass(frozen=True)
class Splits:
    """The samples by side; `classes` are those of train, sorted, and a class's place there is its target."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: LockedSplit
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def counts(self) -> dict[str, dict[str, int]]:
        """Samples by split and class, the locked test only in all (class `""`)."""
        by_class = {name: dict(Counter(s.label for s in getattr(self, name))) for name in ("train", "val")}
        return {**by_class, "test": {"": self.test.count}}


def position(key: str) -> float:
    """Where a key falls in [0, 1): uniform, and the same on every machine and for ever."""
    digest = hashlib.sha256(nfc(key).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(samples: Sequence[Sample], val_fraction: float, test_fraction: float) -> tuple[Sample, ...]:
    """The samples with `split` set: the splits that the data brings are kept, a missing one is taken from the rest.

    A sample goes to test where its `position` is below `test_fraction` and to val where it is in the top `val_fraction`,
    which takes the same share of every class and moves no sample when others come, go or are relabelled, nor to another
    side when only the other fraction changes. A class that would be left with no training sample keeps one.

    Raises:
        DataError: the fractions leave nothing to train on.
    """
    brought = {sample.split for sample in samples}
    test = 0.0 if "test" in brought else test_fraction
    val = 0.0 if "val" in brought else val_fraction
    if test + val >= 1.0:
        raise DataError(
            f"data.val_fraction {val:g} + data.test_fraction {test:g} leave nothing to train on; expected a sum below 1"
        )
    drawn = [s.with_split(_side(s.key, val, test)) if s.split in (None, "train") else s for s in samples]
    for index in _keepers(samples, drawn):
        drawn[index] = drawn[index].with_split("train")
    return tuple(drawn)


@dataclass(frozen=True, slots=True)
class _SideRow:
    """A line of `data.split_file`."""

    key: str
    split: Literal["train", "val", "test"]


SPLIT_FILE_FORMAT = Format[_SideRow](
    _SideRow, "a line of key and split", "`raytl retrain` writes such files.", DataError, max_bytes=1 << 18
)


def apply_splits(samples: Sequence[Sample], config: DataConfig, s3: S3Settings = ENVIRONMENT) -> tuple[Sample, ...]:
    """The samples with `split` set: as `data.split_file` says, and only those that it names, else as `assign` does.

    Raises:
        DataError: the file cannot be read as sides, or names none of the samples.
        StoreError: it is not there.
    """
    if config.split_file is None:
        return assign(samples, config.val_fraction, config.test_fraction)
    folder, _, name = config.split_file.rpartition("/")
    content = retried(lambda: open_store(folder or ".", s3).get_bytes(name))
    named = {
        nfc(row.key): row.split for row in SPLIT_FILE_FORMAT.lines(content, f"data.split_file: {config.split_file}")
    }
    found = tuple(sample.with_split(named[sample.key]) for sample in samples if sample.key in named)
    if not found:
        raise DataError(f"data.split_file: {config.split_file} names none of the {len(samples)} images")
    return found


def _side(key: str, val: float, test: float) -> str:
    if not val and not test:
        return "train"
    place = position(key)
    return "test" if place < test else "val" if place >= 1.0 - val else "train"


def _keepers(samples: Sequence[Sample], drawn: Sequence[Sample]) -> list[int]:
    """Return, for each class whose `drawn` samples all left train, the one of them that is nearest to the middle."""
    movable = [index for index, sample in enumerate(samples) if sample.split in (None, "train")]
    trained = {drawn[index].label for index in movable if drawn[index].split == "train"}
    lacking: dict[str, list[int]] = defaultdict(list)
    for index in movable:
        if drawn[index].label not in trained:
            lacking[drawn[index].label].append(index)
    return [
        min(rows, key=lambda row: (abs(position(samples[row].key) - 0.5), samples[row].key))
        for rows in lacking.values()
    ]


def divide(samples: Sequence[Sample]) -> Splits:
    """The sides of assigned (and audited) samples, the test locked.

    Raises:
        DataError: train or val is empty, train has one class only, or val or test have classes that train lacks.
    """
    sides = {name: tuple(s for s in samples if s.split == name) for name in SPLITS}
    assert sum(map(len, sides.values())) == len(samples), "every sample needs a split: call assign() first"
    classes = tuple(sorted({sample.label for sample in sides["train"]}))
    problems = _problems(sides, classes)
    if problems:
        raise DataError("the splits cannot be used:\n" + "\n".join(problems))
    warnings = _warnings(sides, classes)
    return Splits(sides["train"], sides["val"], LockedSplit(sides["test"]), classes, warnings)


def _problems(sides: dict[str, tuple[Sample, ...]], classes: tuple[str, ...]) -> list[str]:
    found = []
    if len(classes) < 2:
        found.append(f"train has {len(classes)} class(es) {list(classes)}; expected two or more: add training images")
    if not sides["val"]:
        found.append("val is empty, and the best checkpoint is chosen on it; raise data.val_fraction or add val images")
    known = set(classes)
    for name in ("val", "test"):
        strange = Counter(sample.label for sample in sides[name] if sample.label not in known)
        if strange:
            lines = [f"{label!r} ({count} images)" for label, count in sorted(strange.items())]
            found.append(
                f"{name} has {len(lines)} classes that train lacks (train has {len(classes)}: "
                f"{', '.join(map(repr, classes[:10]))}{' ...' if len(classes) > 10 else ''}):\n{listed(lines)}\n"
                f"Add training images of them, mend their names, or remove them from {name}."
            )
    return found


def _warnings(sides: dict[str, tuple[Sample, ...]], classes: tuple[str, ...]) -> tuple[str, ...]:
    lines = []
    alone = [name for name, count in Counter(s.label for s in sides["train"]).items() if count == 1]
    if alone:
        lines.append(f"{len(alone)} classes have one training image only:\n{listed(sorted(map(repr, alone)))}")
    for name in ("val", "test"):
        missing = sorted(set(classes) - {sample.label for sample in sides[name]})
        if not sides[name]:
            lines.append(f"{name} is empty: nothing can be evaluated on it")
        elif missing:
            lines.append(
                f"{name} has no image of {len(missing)} classes:\n{listed([repr(label) for label in missing])}"
            )
    return tuple(lines)
