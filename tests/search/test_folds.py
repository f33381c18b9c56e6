"""The folds of a sweep."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Box, Boxes
from raytl.errors import DataError
from raytl.search.folds import check_folds, fold_column_notes, fold_folders, fold_jobs, fold_numbers
from raytl.training.job import TrainJob


def images(counts: dict[str, int], start: int = 0) -> list[Sample]:
    return [
        Sample(f"{name}/{start + i}.jpg", f"{name}-{start + i}.jpg", name, "train", digest=f"{name}{start + i}")
        for name, count in counts.items()
        for i in range(count)
    ]


def job(train: list[Sample], val: list[Sample]) -> TrainJob:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    return TrainJob(experiment, "sweep", train, val, tuple(sorted({str(each.target) for each in train})))


def test_every_image_of_train_and_val_validates_once_and_classes_keep_their_share() -> None:
    train, val = images({"cat": 17, "dog": 8}), images({"cat": 4, "dog": 2}, start=50)
    folds = fold_jobs(job(train, val), 5)
    validated = [sample.key for fold in folds for sample in fold.val]
    assert sorted(validated) == sorted(sample.key for sample in [*train, *val])
    for fold in folds:
        assert {each.key for each in fold.train}.isdisjoint(each.key for each in fold.val)
        assert len(fold.train) + len(fold.val) == 31
        counts = Counter(str(each.target) for each in fold.val)
        assert counts["dog"] == 2 and counts["cat"] in (4, 5)


def test_the_folds_do_not_depend_on_the_order_of_the_images() -> None:
    samples = images({"cat": 12, "dog": 9})
    fold = dict(zip((each.key for each in samples), fold_numbers(samples, 3).tolist(), strict=True))
    assert fold == dict(zip((each.key for each in samples[::-1]), fold_numbers(samples[::-1], 3).tolist(), strict=True))


def test_equal_files_are_in_one_fold() -> None:
    samples = images({"cat": 12, "dog": 9})
    twins = [
        each.with_digest("same") if each.key in ("cat/0.jpg", "cat/5.jpg", "dog/2.jpg") else each for each in samples
    ]
    fold = dict(zip((each.key for each in twins), fold_numbers(twins, 3).tolist(), strict=True))
    assert len({fold["cat/0.jpg"], fold["cat/5.jpg"], fold["dog/2.jpg"]}) == 1


def test_an_image_of_several_classes_counts_for_the_rarest() -> None:
    def scene(i: int, *labels: str) -> Sample:
        boxes = tuple(Box(label, 0.0, 0.0, 4.0, 4.0) for label in labels)
        return Sample(f"{i}.jpg", f"{i}.jpg", Boxes(9, 9, boxes), "train", digest=str(i))

    samples = [scene(i, "car", "bus") if i % 6 == 0 else scene(i, "car") for i in range(30)]
    fold = fold_numbers([*samples, scene(30), scene(31)], 5)
    assert sorted(fold[:30:6].tolist()) == [0, 1, 2, 3, 4]
    assert np.ptp(np.bincount(fold)) <= 2


def test_classes_with_too_few_images_are_named_at_once() -> None:
    train = images({"cat": 9, "eel": 2, "fox": 3})
    with pytest.raises(
        DataError, match=r"search\.folds: 5 folds(.|\n)*2 classes(.|\n)*'eel': 2(.|\n)*'fox': 4(.|\n)*Lower"
    ):
        check_folds(SampleTable.of([*train, *images({"cat": 3, "fox": 1}, start=50)]), ("cat", "eel", "fox"), 5)


def test_the_runs_of_folds_are_in_the_folder_of_their_trial() -> None:
    assert fold_folders("s/trial-1", 2) == ("s/trial-1/fold-0", "s/trial-1/fold-1")
    assert fold_folders("s/trial-1", None) == ("s/trial-1",)


def test_a_group_is_in_one_fold_and_too_few_groups_are_an_error() -> None:
    samples = [replace(each, columns=(("site", f"s{i % 4}"),)) for i, each in enumerate(images({"cat": 16, "dog": 12}))]
    fold = fold_numbers(samples, 3, ["site"])
    sites = np.array([each.columns[0][1] for each in samples])
    assert all(len(set(fold[sites == site])) == 1 for site in sites) and set(fold) == {0, 1, 2}
    check_folds(SampleTable.of(samples), ("cat", "dog"), 4, ["site"])
    with pytest.raises(DataError, match=r"search\.folds: 5 folds need as many groups of site .*; found 4\. Lower"):
        check_folds(SampleTable.of(samples), ("cat", "dog"), 5, ["site"])


def test_a_column_that_folds_do_not_learn_is_noted() -> None:
    samples = images({"cat": 12, "dog": 12})
    fold = fold_numbers(samples, 3)
    rare = [("site", "b") if number == 1 and i % 2 else ("site", "a") for i, number in enumerate(fold)]
    columns = [(site, ("camera", "xy"[i % 2])) for i, site in enumerate(rare)]
    table = SampleTable.of([replace(each, columns=cells) for each, cells in zip(samples, columns, strict=True)])
    assert fold_column_notes(["camera", "site"], table, 3) == (
        "auxiliary.columns: site: not learned in 1 of 3 folds, whose training images have a single value; a score is the mean "
        "over all folds",
    )
    assert fold_column_notes(["camera"], table, 3) == fold_column_notes([], table, 3) == ()
