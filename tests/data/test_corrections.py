"""Corrections of labels: a file that only grows, checked as a whole, which gives the data another snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.config.labels import LabelsConfig
from raytl.config.schema import DataConfig
from raytl.data import corrections
from raytl.data.corrections import Correction, parsed, read_corrections, text_of, with_corrections
from raytl.data.manifest import Manifest, Sample, build_manifest
from raytl.data.snapshot import take
from raytl.errors import DataError, StoreError

NOW = "2026-11-29T17:50:08+00:00"
SPLITS = ("train", "train", "train", "val", "test")
HOSTILE = ["=1+1.jpg", "'=x.jpg", "a,b.jpg", 'a"b.jpg', "a b/ü.jpg", "-.jpg", " x .jpg", "a\nb.jpg", "@c;=d.jpg"]


def data() -> Manifest:
    samples = [
        Sample(f"{name}/{place}.jpg", f"/p/{name}/{place}.jpg", name, split)
        for name in ("cat", "dog")
        for place, split in enumerate(SPLITS)
    ]
    return build_manifest("photos", samples)


def correction(key: str, label: str, given: str = "cat", why: str = "it barks") -> Correction:
    return Correction(key, given, label, "me", NOW, why)


def corrected(tmp_path: Path, *corrections: Correction) -> Manifest:
    (tmp_path / "fixes.csv").write_text(text_of(corrections, with_header=True), encoding="utf-8")
    return with_corrections(data(), DataConfig(uri="photos"), str(tmp_path / "fixes.csv"))


def labels(manifest: Manifest) -> dict[str, str]:
    return {sample.key: sample.label for sample in manifest.samples}


def test_labels_of_train_and_val_are_corrected_and_images_left_out(tmp_path: Path) -> None:
    result = corrected(
        tmp_path, correction("cat/0.jpg", "dog"), correction("cat/3.jpg", "dog"), correction("cat/1.jpg", "-")
    )
    expected = labels(data()) | {"cat/0.jpg": "dog", "cat/3.jpg": "dog"}
    del expected["cat/1.jpg"]
    assert labels(result) == expected
    assert [sample.split for sample in result.samples if sample.key == "cat/3.jpg"] == ["val"]
    assert "labels corrected: 2, images left out: 1" in result.warnings[-1]


def test_the_newest_correction_counts_and_a_confirmation_changes_nothing(tmp_path: Path) -> None:
    result = corrected(tmp_path, correction("cat/0.jpg", "dog"), correction("cat/0.jpg", "cat"))
    assert labels(result) == labels(data())


def test_a_correction_of_a_test_image_and_of_an_unknown_class_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"1 corrections of test images:\n  cat/4\.jpg(.|\n)*frozen(.|\n)*no class of the data"
    ):
        corrected(tmp_path, correction("cat/4.jpg", "dog"), correction("dog/0.jpg", "wolf"))


def test_images_that_are_gone_and_labels_that_changed_since_are_named(tmp_path: Path) -> None:
    result = corrected(tmp_path, correction("old.jpg", "dog"), correction("cat/0.jpg", "dog", given="wolf"))
    assert "1 corrections of images that the data no longer has:\n  old.jpg" in result.warnings[-2]
    assert "cat/0.jpg: was 'wolf', is 'cat', corrected to 'dog'" in result.warnings[-1]


def test_without_a_file_nothing_changes_and_a_missing_one_says_so(tmp_path: Path) -> None:
    manifest, config = data(), DataConfig(uri="photos")
    assert with_corrections(manifest, config, None) is manifest
    later = with_corrections(manifest, config, str(tmp_path / "later.csv"))
    assert later.samples == manifest.samples
    assert "has no corrections yet" in later.warnings[-1]


def test_every_wrong_row_is_listed() -> None:
    rows = f"key,given,label,who,when,why\n,cat,dog,me,{NOW},x\na.jpg,cat,dog,,{NOW},x\nb.jpg,cat,dog,me,today,x\n"
    with pytest.raises(DataError, match=r"3 rows are no corrections:(.|\n)*line 2(.|\n)*line 3(.|\n)*line 4: when"):
        parsed(rows.encode(), "fixes.csv")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"key,label\na,b\n", "no column 'given' and 'who' and 'when' and 'why'"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'key,given,label,who,when,why\n"a', "cannot be read"),
        (b"", "no column"),
    ],
)
def test_another_file_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        parsed(content, "fixes.csv")


def test_a_file_above_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "CORRECTION_FORMAT", replace(corrections.CORRECTION_FORMAT, max_bytes=100))
    (tmp_path / "fixes.csv").write_bytes(b"x" * 101)
    with pytest.raises(StoreError, match=r"fixes\.csv: holds more than 100 bytes; expected at most 100"):
        read_corrections(str(tmp_path / "fixes.csv"))


def test_hostile_names_come_back_as_they_were(tmp_path: Path) -> None:
    rows = tuple(correction(key, label) for key in HOSTILE for label in ("-", "=cmd", "ünd"))
    (tmp_path / "fixes.csv").write_text(text_of(rows, with_header=True), encoding="utf-8")
    assert read_corrections(str(tmp_path / "fixes.csv")) == rows


@pytest.fixture
def photos(make_photos: Callable[..., Path]) -> Path:
    return make_photos(6)


def test_corrected_data_is_another_snapshot_and_the_old_one_stays(photos: Path, tmp_path: Path) -> None:
    config, relabel = DataConfig(uri=str(photos)), str(tmp_path / "fixes.csv")
    before = take(config)
    first, other = sorted({path.parent.name for path in photos.rglob("*.jpg")})[:2]
    key = next(p for p in sorted((photos / first).rglob("*.jpg"))).relative_to(photos).as_posix()
    split = next(each for each in ("train", "val", "test") if before.images[each])
    assert split == "train"
    (tmp_path / "fixes.csv").write_text(text_of([correction(key, other, first)], with_header=True))
    after = take(config, labels=LabelsConfig(relabel=relabel))
    assert after.id != before.id
    assert take(config).id == before.id
    assert take(config, labels=LabelsConfig(relabel=relabel)).id == after.id
