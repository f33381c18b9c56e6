"""Targets are stored with samples, count in the digest of the data, and are read back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from raytl.data.manifest import Sample, dataset_digest, to_nfc
from raytl.data.sample_table import SampleTable
from raytl.data.samples import SAMPLE_FORMAT, records
from raytl.data.targets import Box, Boxes, Instance, Instances, Labels, Mask, MaskClass, Target
from raytl.errors import RunError
from raytl.run.plain import encode
from tests.data.test_sample_table import SETS

TARGETS: list[Target] = [
    "cat",
    None,
    Labels(("red", "round"), ("large",)),
    Mask("a.png", "/data/a.png", (MaskClass(0, "background"), MaskClass(255, "")), "ab"),
    Boxes(4, 3, (Box("cell", 0.0, 0.5, 2.25, 3.0, crowd=True),)),
    Instances(4, 3, (Instance("cell", "0102"),)),
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_stored_sample_is_read_back_as_it_was(target: Target) -> None:
    sample = Sample("a.jpg", "/data/a.jpg", target, "train", "0f")
    assert SAMPLE_FORMAT.read(json.dumps(sample.record()).encode(), "samples.jsonl") == sample


def test_a_sample_of_an_earlier_version_has_its_class_as_target() -> None:
    stored = b'{"key": "a.jpg", "path": "/a.jpg", "label": "cat", "split": null, "digest": ""}'
    assert SAMPLE_FORMAT.read(stored, "samples.jsonl") == Sample("a.jpg", "/a.jpg", "cat")


def test_a_stored_target_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(RunError, match="labels or mask or boxes or instances"):
        SAMPLE_FORMAT.read(b'{"key": "a", "path": "", "target": {"kind": "sound"}}', "samples.jsonl")


def test_every_target_counts_in_the_digest_of_the_data() -> None:
    digests = {dataset_digest([Sample("a.jpg", "", target, "train")]) for target in TARGETS}
    assert len(digests) == len(TARGETS)


def test_the_digest_depends_on_the_content_of_a_mask_and_not_on_its_place() -> None:
    mask = Mask("a.png", "/one/a.png", (MaskClass(1, "road"),), "ab")
    here, there, other = (
        dataset_digest([Sample("a.jpg", "", each)])
        for each in (mask, replace(mask, path="/two/a.png"), replace(mask, digest="cd"))
    )
    assert here == there != other


def test_names_of_targets_are_normalized() -> None:
    decomposed = "cafe\u0301"
    target = to_nfc(Sample("a", "", Boxes(4, 3, (Box(decomposed, 0, 0, 1, 1),)))).target
    assert isinstance(target, Boxes)
    assert target.boxes[0].label == "caf\u00e9"


@pytest.mark.parametrize("samples", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("dumps", [json.dumps, lambda value: encode(value).decode()], ids=["ascii", "readable"])
def test_records_of_a_table_are_those_of_its_samples(samples: list[Sample], dumps: Callable[[Any], str]) -> None:
    table = SampleTable.of(samples)
    assert [json.loads(line) for line in records(table, dumps)] == json.loads(json.dumps([s.record() for s in samples]))
    without = [{**sample.record(), "path": ""} for sample in samples]
    assert list(records(table.without_paths())) == [json.dumps(record) for record in without]
