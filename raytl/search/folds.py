"""The folds of a sweep: train and validation are divided anew, so that each image validates one network of every trial.

With few validation images, the best of many trials is the luckiest. The mean over folds has the noise of all images
instead (Kohavi 1995 for stratified folds).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from raytl.data.column_values import ColumnValues
from raytl.data.group_split import group_columns, kept_together
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.split import images_by_class, position
from raytl.data.targets import names_in
from raytl.errors import DataError
from raytl.models.frozen import folds_of
from raytl.training.job import TrainJob

FEW_IMAGES = 100
"""Validation images below which a sweep recommends `search.folds`: an accuracy of 80 % then has a standard error of 4 points."""


def fold_jobs(sweep: TrainJob, folds: int) -> tuple[TrainJob, ...]:
    """Return the job of `sweep` for each fold: it validates on the fold, and trains on the other images of train and val."""
    samples = SampleTable.of([*sweep.train, *sweep.val])
    fold = fold_numbers(samples, folds, group_columns(sweep.experiment.data.columns))
    return tuple(
        replace(sweep, train=samples.where(fold != number), val=samples.where(fold == number))
        for number in range(folds)
    )


def fold_numbers(samples: Sequence[Sample], folds: int, groups: Collection[str] = ()) -> NDArray[np.int64]:
    """Return the fold of each sample, `(n,)`: the images of each class are dealt out in the order of their `position`.

    An image of several classes counts for the one with the fewest images. Equal files are in one fold, so that no network
    is scored on an image that it learned; so are the images of a group, if `groups` names columns of groups.
    """
    counts = images_by_class(samples)
    order = sorted(range(len(samples)), key=lambda place: position(samples[place].key))
    names = [min(names_in(samples[place].target), key=lambda name: (counts[name], name), default="") for place in order]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    fold = np.empty(len(samples), np.int64)
    together = kept_together(samples, groups)
    fold[order] = folds_of(np.array([numbers[name] for name in names]), folds, together[order])
    return fold


def fold_column_notes(
    columns: Sequence[str], samples: SampleTable, folds: int, groups: Collection[str] = ()
) -> tuple[str, ...]:
    """Return a note for each of the auxiliary `columns` that the networks of some folds do not learn, as their training images
    have a single value there."""
    if not columns:
        return ()
    fold, notes = fold_numbers(samples, folds, groups), list[str]()
    for name in columns:
        values = [len(ColumnValues.of(name, samples.where(fold != number)).values) for number in range(folds)]
        if without := sum(count < 2 for count in values):
            notes.append(
                f"auxiliary.columns: {name}: not learned in {without} of {folds} folds, whose training images have a single value; "
                "a score is the mean over all folds"
            )
    return tuple(notes)


def fold_folder(trial: str, fold: int) -> str:
    """Return the location of a fold's run, below that of its trial."""
    return f"{trial}/fold-{fold}"


def fold_folders(trial: str, folds: int | None) -> tuple[str, ...]:
    """Return the locations of the runs of a trial: its own without folds."""
    return (trial,) if folds is None else tuple(fold_folder(trial, fold) for fold in range(folds))


def check_folds(samples: SampleTable, classes: Sequence[str], folds: int, groups: Collection[str] = ()) -> None:
    """Check that each class has an image for each fold, and that there is a group of the columns `groups` for each.

    Raises:
        DataError: a class has too few images, with all such classes; or there are too few groups.
    """
    if groups and (count := len(np.unique(kept_together(samples, groups)))) < folds:
        raise DataError(
            f"search.folds: {folds} folds need as many groups of {', '.join(groups)} in train and val; found {count}. "
            "Lower search.folds, or add groups."
        )
    counts: Counter[str] = images_by_class(samples)
    few = [f"  {name!r}: {counts[name]}" for name in classes if name in counts and counts[name] < folds]
    if few:
        raise DataError(
            f"search.folds: {folds} folds need as many images of each class in train and val; found fewer of "
            f"{len(few)} classes:\n" + "\n".join(few) + "\n  Lower search.folds, or add images."
        )
