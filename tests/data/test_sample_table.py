"""A table of samples is the sequence of the samples that it was made of."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from raytl.data import sample_table
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable, TableWriter
from raytl.data.targets import Box, Boxes, Instance, Instances, Labels, Mask, MaskClass, Target

CLASSES = [
    Sample(f"c{i % 3}/é {i}.jpg", f"/data/c{i % 3}/é {i}.jpg", f"c{i % 3}", "train", f"{i + 1:064x}") for i in range(9)
]
ODD = [
    Sample("a", "s3://bucket/shard.tar#bytes=512+20", None, None, ""),
    Sample("b\udcff", "/files/b\udcff", Labels(("x", "y"), ("z",)), "val", "0" * 63 + "1"),
    Sample("c", "", "c", "test"),
]
DENSE: list[Sample] = [
    Sample("boxes", "/p/boxes", Boxes(5, 4, (Box("x", 0.25, 1, 2, 3.5, True),)), "train"),
    Sample("mask", "/p/mask", Mask("m.png", "/p/m.png", (MaskClass(1, "a"),), "ab", 3, ("a",), 7, 8), "val"),
    Sample("instances", "/p/instances", Instances(5, 4, (Instance("x", "05"),)), None, "short"),
]
SETS = {"classes": CLASSES, "odd": ODD, "dense": DENSE, "mixed": [*ODD, *DENSE, *CLASSES], "empty": []}


@pytest.mark.parametrize("samples", SETS.values(), ids=SETS.keys())
def test_a_table_holds_the_samples_it_was_made_of(samples: list[Sample]) -> None:
    table = SampleTable.of(iter(samples))
    assert list(table) == samples == [table[i] for i in range(len(table))]
    assert table == tuple(samples) and tuple(samples) == table
    assert pickle.loads(pickle.dumps(table)) == table
    assert SampleTable.of(table) is table


def test_a_part_of_a_table_is_a_table_of_these_samples() -> None:
    samples = SETS["mixed"]
    table = SampleTable.of(samples)
    assert table[3:-2:2] == samples[3:-2:2]
    assert table.take(np.array([5, 0, 5])) == [samples[5], samples[0], samples[5]]
    assert table[-1] == samples[-1]
    assert table != samples[:-1]
    with pytest.raises(IndexError, match="out of range"):
        table[len(table)]


def test_new_paths_change_nothing_else() -> None:
    moved = SampleTable.of(CLASSES).with_paths(f"/elsewhere/{sample.key}" for sample in CLASSES)
    assert [sample.path for sample in moved] == [f"/elsewhere/{sample.key}" for sample in CLASSES]
    assert [(s.key, s.target, s.split, s.digest) for s in moved] == [
        (s.key, s.target, s.split, s.digest) for s in CLASSES
    ]


def test_the_kinds_of_targets_are_known_without_reading_each() -> None:
    kinds: set[type[Target]] = {str, type(None), Labels}
    assert SampleTable.of([*CLASSES, *ODD]).kinds() == kinds
    assert SampleTable.of(DENSE).kinds() == {Boxes, Mask, Instances}


def test_a_sample_of_a_table_takes_less_than_a_quarter_of_an_object() -> None:
    samples = [
        Sample(f"class/{i:08d}.jpg", f"/data/class/{i:08d}.jpg", "class", "train", f"{i:064x}") for i in range(1, 1001)
    ]
    assert len(pickle.dumps(SampleTable.of(samples))) < 70 * len(samples)


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("samples", SETS.values(), ids=SETS.keys())
def test_a_table_that_is_being_built_can_be_read(
    samples: list[Sample], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_table, "_AT_ONCE", at_once)
    written = TableWriter()
    for sample in samples:
        written.add(sample)
        assert written[len(written) - 1] == sample
    assert [written[i] for i in range(len(written))] == samples
    assert written.table() == samples


def test_keys_are_sorted_as_python_sorts_text(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["b/1", "a/2", "b", "a/10", "B", "a/2", ""]
    monkeypatch.setattr(sample_table, "_MANY", 3)
    for names in (keys, [*keys, "é", "\udcff", "\U0001f600", "\uffff"]):
        samples = [Sample(name, f"/p/{number}", "x") for number, name in enumerate(names)]
        assert SampleTable.of(samples).by_key() == sorted(samples, key=lambda sample: sample.key)
    ordered = SampleTable.of(Sample(name, "", "x") for name in sorted(set(keys)))
    assert ordered.by_key() is ordered


@pytest.mark.parametrize("keys", ["abcdefg", "abcdegf", "abccdef", "bacdefg"])
def test_many_keys_are_ordered_as_few_are(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = SampleTable.of(Sample(key, "", "x") for key in keys)
    few = table.is_ordered
    monkeypatch.setattr(sample_table, "_MANY", 2)
    assert table.is_ordered is few is (keys == "abcdefg")


def test_paths_of_one_folder_and_their_keys_have_one_base() -> None:
    assert SampleTable.of(CLASSES).paths.has_one_base
    assert not SampleTable.of([*CLASSES, Sample("a", "/elsewhere/a", "x")]).paths.has_one_base
    assert not SampleTable.of([*CLASSES, Sample("a", "/elsewhere/b", "x")]).paths.has_one_base
