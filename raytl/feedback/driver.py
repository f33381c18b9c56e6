"""`raytl collect`: choose the images to label and write them down; or take their labels back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raytl.config.machine import Machine
from raytl.data.feedback import read_labels
from raytl.data.manifest import Sample
from raytl.data.perceptual_hash import phashes
from raytl.data.samples import SAMPLE_FORMAT
from raytl.data.split_memory import MEMORY, MEMORY_FORMAT, Memory
from raytl.errors import UserError
from raytl.events import OnEvent, ignore
from raytl.feedback.collect import Excluded, pick
from raytl.feedback.collection import write_collection
from raytl.feedback.returned import ReturnedLabels, check_replaceable, return_labels
from raytl.feedback.sheet import write_sheet
from raytl.models.card import read_card
from raytl.run import journal
from raytl.run.provenance import user
from raytl.run.run_store import RunStore
from raytl.store.open import open_store
from raytl.store.s3_settings import S3Settings

MAX_BUDGET = 50_000
_MOST_HASHED = 20_000


@dataclass(frozen=True)
class Collected:
    """The images to label in the table `out` and on its `page`: `images` by reason, and answers that were not considered by why.

    `labelled_share` images of the random share have a label already; `records` answers were kept.
    """

    uri: str
    out: str
    page: str
    images: Mapping[str, int]
    labelled_share: int
    records: int
    left_out: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def collect(
    uri: str,
    budget: int,
    out: Path,
    *,
    model: str | None = None,
    random_share: float = 0.2,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
    seed: int | None = None,
) -> Collected:
    """Choose `budget` images of the feedback prefix at `uri`, write them to the table `out`, and record the choice in the prefix.

    `model` is a run or version whose images of training, validation and test are not chosen.

    Raises:
        UserError: an option is wrong, or the prefix has no images to label.
        DataError: `out` is a table with labels that are not returned yet, or another file.
        StoreError: the prefix cannot be read or written.
    """
    if not 1 <= budget <= MAX_BUDGET:
        raise UserError(f"budget {budget}: expected 1 to {MAX_BUDGET:,} images")
    if not 0 <= random_share <= 1:
        raise UserError(f"random share {random_share:g}: expected a fraction from 0 to 1")
    if out.suffix.lower() != ".csv":
        raise UserError(f"{out}: expected a file that ends in .csv")
    machine = machine or Machine()
    s3 = S3Settings.of(machine.storage)
    store = open_store(uri, s3)
    check_replaceable(out, read_labels(store))
    excluded = Excluded() if model is None else images_of(model, machine, on_event)
    picked = pick(store, budget, random_share, excluded, machine.max_pixels, on_event, seed)
    if not picked.picks:
        raise UserError(f"{uri}: no image is left to label; expected some that are new. Wait, or choose again later")
    page = write_sheet(out, uri, picked)
    write_collection(
        store, user(), datetime.now(UTC), [each.chosen() for each in (*picked.picks, *picked.labelled_share)]
    )
    images = Counter(each.why for each in picked.picks)
    return Collected(
        uri, str(out), str(page), dict(images), len(picked.labelled_share), picked.records, picked.left_out
    )


def returned(
    uri: str, labels: Path, *, model: str | None = None, machine: Machine | None = None, on_event: OnEvent = ignore
) -> ReturnedLabels:
    """Store the labels of the CSV table `labels` in the feedback prefix at `uri`, and estimate the accuracy in use.

    `model` is a run or version whose classes are excluded.

    Raises:
        DataError: a row is wrong; all are listed, and nothing is stored.
        StoreError: the prefix cannot be read or written.
    """
    machine = machine or Machine()
    s3 = S3Settings.of(machine.storage)
    classes = () if model is None else read_card(RunStore.open(model, s3).folder.best).classes
    return return_labels(open_store(uri, s3), labels, user(), datetime.now(UTC), classes, on_event)


def images_of(model: str, machine: Machine, on_event: OnEvent = ignore) -> Excluded:
    """Return the images of every split of a run or version, and what they look like, as far as it is excluded.

    A version remembers the perceptual hashes of its images; those of a run are computed from files on this machine, for the
    first 20,000.

    Raises:
        UserError: there is no such run or version.
    """
    folder = RunStore.open(model, S3Settings.of(machine.storage)).folder.root
    samples: tuple[Sample, ...] = tuple(journal.read(folder / "samples.jsonl", SAMPLE_FORMAT))
    digests = frozenset(sample.digest for sample in samples)
    if (folder / MEMORY).is_file():
        memory = Memory.decoded(MEMORY_FORMAT.content(folder / MEMORY, lines=True), str(folder / MEMORY))
        return Excluded(digests | memory.splits.keys(), tuple(memory.hashes.values()))
    local = [sample for sample in samples[:_MOST_HASHED] if Path(sample.path).is_file()]
    return Excluded(
        digests,
        tuple(phashes(local, machine.max_pixels, on_event=on_event, s3=S3Settings.of(machine.storage)).values()),
    )
