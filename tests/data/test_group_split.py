from __future__ import annotations

from collections import defaultdict

import pytest

from raytl.data.group_split import kept_together
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.split import assign
from raytl.errors import DataError


def _samples(groups: int, per_group: int = 4, labels: int = 2, **extra: str) -> list[Sample]:
    return [
        Sample(f"{g}/{i}.jpg", f"/d/{g}/{i}.jpg", f"c{i % labels}", columns=(("site", f"s{g}"), *extra.items()))
        for g in range(groups)
        for i in range(per_group)
    ]


def _splits_by(samples: SampleTable, column: str) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for sample in samples:
        found[dict(sample.columns)[column]].add(sample.split)
    return found


def test_no_group_is_in_two_splits_and_the_fractions_are_about_those_of_groups() -> None:
    splits = _splits_by(assign(_samples(200), 0.2, 0.2, ["site"]), "site")
    assert all(len(each) == 1 for each in splits.values())
    counts = [sum(each == {name} for each in splits.values()) for name in ("train", "val", "test")]
    assert counts[0] > 100 and 25 < counts[1] < 55 and 25 < counts[2] < 55


def test_a_group_stays_in_its_split_when_others_come() -> None:
    before, after = (_splits_by(assign(_samples(n), 0.2, 0.2, ["site"]), "site") for n in (100, 150))
    assert all(after[name] == split for name, split in before.items())


def test_every_split_has_a_group_even_if_there_are_three() -> None:
    splits = _splits_by(assign(_samples(3), 0.15, 0.15, ["site"]), "site")
    assert sorted(str(each) for each in splits.values()) == ["{'test'}", "{'train'}", "{'val'}"]


def test_too_few_groups_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"data.columns: 2 groups of site cannot be divided into 3 splits; expected 3 or more"
    ):
        assign(_samples(2), 0.15, 0.15, ["site"])
    assert len(_splits_by(assign(_samples(2), 0.15, 0.0, ["site"]), "site")) == 2


def test_groups_of_two_columns_that_share_an_image_are_one() -> None:
    samples = [
        Sample(f"{i}.jpg", f"/d/{i}.jpg", "a", columns=(("site", f"s{i // 4}"), ("patient", f"p{(i + 2) // 4}")))
        for i in range(40)
    ]
    alone = [Sample(f"x{i}.jpg", "/d/x.jpg", "b", columns=(("site", f"x{i}"), ("patient", f"y{i}"))) for i in range(20)]
    found = assign([*samples, *alone], 0.2, 0.2, ["site", "patient"])
    assert len({each.split for each in found if not each.key.startswith("x")}) == 1, "a chain of shared images"
    assert len({each.split for each in found if each.key.startswith("x")}) == 3


def test_a_class_of_one_group_is_trained() -> None:
    rare = [Sample(f"r/{i}.jpg", "/d", f"rare{i}", columns=(("site", f"r{i}"),)) for i in range(20)]
    found = assign([*_samples(40), *rare], 0.2, 0.2, ["site"])
    assert {each.split for each in found if each.label.startswith("rare")} == {"train"}


def test_without_groups_the_columns_change_no_split() -> None:
    samples = _samples(30)
    plain = [Sample(each.key, each.path, each.target) for each in samples]
    splits = [[each.split for each in assign(which, 0.2, 0.2)] for which in (samples, plain)]
    assert splits[0] == splits[1]


def test_equal_files_and_images_that_share_a_value_are_kept_together() -> None:
    def sample(key: str, digest: str, **columns: str) -> Sample:
        return Sample(key, key, "a", "train", digest, tuple(columns.items()))

    samples = [
        sample("0", "x", site="one", patient="p"),
        sample("1", "y", site="two", patient="p"),
        sample("2", "z", site="three", patient="q"),
        sample("3", "z", site="four", patient="r"),
        sample("4", "", site="", patient=""),
        sample("5", "", site="", patient=""),
    ]
    both = kept_together(samples, ["site", "patient"])
    assert both[0] == both[1] and both[2] == both[3] and len(set(both.tolist())) == 4
    assert len(set(kept_together(samples, []).tolist())) == 5
    assert len(set(kept_together(samples, ["unknown"]).tolist())) == 5
