"""Samples and manifests as values."""

from __future__ import annotations

import hashlib
import json

import pytest

from raytl.data.manifest import Manifest, Sample, build_manifest, dataset_digest, listed, split_name
from raytl.data.samples import SAMPLE_FORMAT
from raytl.errors import DataError


def test_a_sample_survives_its_record_whatever_its_name() -> None:
    sample = Sample("a 'b'\n\udcff é/1.jpg", "/data/a 'b'\n\udcff é/1.jpg", "é", "val", "ab")
    assert SAMPLE_FORMAT.read(json.dumps(sample.record()).encode(), "samples.jsonl") == sample


def test_a_manifest_is_sorted_and_knows_its_classes() -> None:
    made = build_manifest("x", [Sample("b/1", "", "b"), Sample("a/1", "", "a")], ["z", "y"])
    assert made == Manifest("x", (Sample("a/1", "", "a"), Sample("b/1", "", "b")), ("a", "b"), ("y", "z"))


def test_no_images_and_one_class_are_refused() -> None:
    with pytest.raises(DataError, match="x: no images found; expected class folders"):
        build_manifest("x", [])
    with pytest.raises(DataError, match="all 2 images are of one class, 'a'; expected two or more"):
        build_manifest("x", [Sample("a/1", "", "a"), Sample("a/2", "", "a")])


def test_names_in_either_unicode_form_are_one_class_one_key_and_one_digest() -> None:
    composed, apart = (
        build_manifest(
            "x", [Sample(f"{name}/1", f"/{name}/1", name, digest="1"), Sample("b/1", "/b/1", "b", digest="2")]
        )
        for name in ("caf\u00e9", "cafe\u0301")
    )
    assert composed.classes == apart.classes == ("b", "caf\u00e9")
    assert dataset_digest(composed.samples) == dataset_digest(apart.samples)
    assert apart.samples[1].path == "/cafe\u0301/1"


def test_two_files_of_one_name_in_two_unicode_forms_are_both_named() -> None:
    samples = [Sample(f"{name}/1", f"/{name}/1", "a") for name in ("caf\u00e9", "cafe\u0301")]
    with pytest.raises(
        DataError, match=r"image names occur twice:\n  café/1: '/cafe\\u0301/1' and '/caf\\xe9/1'\nRename one"
    ):
        build_manifest("x", samples)


def test_classes_that_differ_in_case_or_blanks_are_told_with_their_counts() -> None:
    made = build_manifest("x", [Sample(str(number), "", label) for number, label in enumerate(("Cat", "cat", "cat "))])
    assert made.classes == ("Cat", "cat", "cat ")
    assert made.warnings == (
        "3 class names are nearly identical: 'Cat' (1 images), 'cat' (1 images), 'cat ' (1 images); "
        "rename them if they are meant to be one class",
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [("train", "train"), ("Valid", "val"), ("validation", "val"), (" VAL ", "val"), ("testing", "test"), ("cat", None)],
)
def test_split_names_are_read_as_people_write_them(text: str, name: str | None) -> None:
    assert split_name(text) == name


def test_the_dataset_digest_tells_labels_splits_and_content_apart_but_not_order() -> None:
    a, b = Sample("a", "/x/a", "cat", "train", "01"), Sample("b", "/x/b", "dog", "val", "02")
    moved = Sample("a", "/elsewhere/a", "cat", "train", "01")
    assert dataset_digest([a, b]) == dataset_digest([b, moved])
    changed = [
        Sample("a", "", "dog", "train", "01"),
        Sample("a", "", "cat", "val", "01"),
        Sample("a", "", "cat", "train", "03"),
    ]
    assert len({dataset_digest([b, other]) for other in [a, *changed]}) == 4


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b", "c"], 2) == "  a\n  b\n  ... and 1 more"


@pytest.mark.parametrize("count", [0, 1, 4096, 9000])
def test_the_digest_of_a_set_is_that_of_all_its_rows_as_one_json_text(count: int) -> None:
    samples = [
        Sample(f"é{number:05d}", "", "a", "val" if number % 2 else None, f"{number:x}") for number in range(count)
    ]
    rows = sorted([s.key, s.label, s.split or "", s.digest] for s in samples)
    assert dataset_digest(samples[::-1]) == hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_the_digest_of_samples_of_one_key_is_the_same_in_any_order() -> None:
    samples = [Sample("a", "", label, None, digest) for label in ("x", "y") for digest in ("2", "1")]
    assert dataset_digest(samples) == dataset_digest(samples[::-1])
