"""Samples and labels in shards: names and texts in, samples or an error out."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from raytl.data.formats.shard_labels import Reading, are_class_folders, read
from raytl.data.formats.webdataset import Members, holds_label, label_text, split_of
from raytl.errors import DataError


def members(files: Mapping[str, str], shard: str = "data-000") -> Members:
    """A shard of these files; the text of an image does not matter."""
    texts = {name: label_text(name, io.BytesIO(text.encode())) for name, text in files.items() if holds_label(name)}
    return Members(shard, sorted(files), texts)


def found(*shards: Members) -> dict[str, str]:
    return {sample.image: sample.label for sample in read("uri", shards).samples}


def one(files: Mapping[str, str]) -> Reading:
    return read("uri", [members(files)])


def pairs(count: int, *endings: str, stem: str = "{:04}") -> dict[str, str]:
    """`count` samples of two classes with members of these endings; label files hold the class."""
    stems = [stem.format(number) for number in range(count)]
    return {f"{name}.{ending}": str(number % 2) for number, name in enumerate(stems) for ending in endings}


def test_the_image_with_a_plain_key_is_the_sample_and_masks_beside_it_are_counted() -> None:
    reading = one(pairs(24, "jpg", "seg.png", "depth.png", "cls"))
    assert {sample.image: sample.label for sample in reading.samples} == {f"{i:04}.jpg": str(i % 2) for i in range(24)}
    assert reading.warnings == ("48 additional images in samples skipped, by key: .depth.png (24), .seg.png (24)",)
    assert reading.ignored == ()


@pytest.mark.parametrize("image", ["image.jpg", "JPG", "input.png", "jpeg"])
@pytest.mark.parametrize("label", ["label.cls", "CLS", "cls", "json", "txt", "label.txt"])
def test_the_only_image_and_the_only_label_of_a_sample_may_have_any_key(image: str, label: str) -> None:
    assert found(members(pairs(8, image, label))) == {f"{i:04}.{image}": str(i % 2) for i in range(8)}


@pytest.mark.parametrize("endings", [("jpg", "png"), ("left.jpg", "right.jpg"), ("jpg", "JPG")])
def test_several_images_that_may_each_be_the_sample_are_an_error_that_names_their_keys(
    endings: tuple[str, str],
) -> None:
    keys = ", ".join(f".{ending}" for ending in sorted(endings))
    with pytest.raises(DataError, match=rf"24 samples have several images each \({keys}\), such as data-000: '0000"):
        one(pairs(24, *endings, "cls"))


def test_several_labels_that_may_each_be_the_class_are_an_error_that_names_their_keys() -> None:
    with pytest.raises(DataError, match=r"8 samples have several labels each \(\.coarse\.cls, \.fine\.cls\)"):
        one(pairs(8, "jpg", "fine.cls", "coarse.cls"))


@pytest.mark.parametrize("stem", ["2024.05.{:02}", "a/v1.0.{}", "1.5x.{}", "img.{:03}.crop"])
@pytest.mark.parametrize("mask", [(), ("seg.png",)])
@pytest.mark.parametrize("label", ["cls", "json", "txt", "label.cls"])
def test_names_with_dots_pair_with_their_labels(stem: str, mask: tuple[str, ...], label: str) -> None:
    wanted = {f"{stem.format(i)}.jpg": str(i % 2) for i in range(24)}
    assert found(members(pairs(24, "jpg", *mask, label, stem=stem))) == wanted


def test_a_single_sample_with_dots_in_its_name_pairs_too() -> None:
    files = {"a.1.jpg": "", "a.1.cls": "cat", "b.2.jpg": "", "b.2.cls": "dog"}
    assert found(members(files)) == {"a.1.jpg": "cat", "b.2.jpg": "dog"}


def test_json_beside_a_mask_makes_no_sample_of_the_mask() -> None:
    assert found(members(pairs(8, "jpg", "seg.png", "seg.json", "cls"))) == {
        f"{i:04}.jpg": str(i % 2) for i in range(8)
    }


@pytest.mark.parametrize("junk", ["._{}", "__MACOSX/._{}", "d/@eaDir/{}/SYNOFILE_THUMB_M.jpg", ".{}"])
def test_system_files_in_shards_are_ignored_and_counted(junk: str) -> None:
    good = pairs(8, "jpg", "cls")
    reading = one(good | {junk.format(name): "x" for name in good})
    assert {sample.image for sample in reading.samples} == {f"{i:04}.jpg" for i in range(8)}
    assert reading.ignored == tuple(sorted(f"data-000/{junk.format(name)}" for name in good))


def folders(text: str, ending: str = "txt", count: int = 12) -> dict[str, str]:
    """Class folders cat and dog with a file beside each image; `text` may name the class and the number."""
    files = {f"{name}/{i}.jpg": "" for name in ("cat", "dog") for i in range(count)}
    beside = {
        f"{name}/{i}.{ending}": text.replace("NAME", name).replace("NUMBER", str(i))
        for name in ("cat", "dog")
        for i in range(count)
    }
    return files | beside


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("a photo of a NAME, number NUMBER", "txt"),
        ("a photo of a NAME", "txt"),  # one caption a class says what the folder says
        ("a NAME\nin two lines", "txt"),
        ("0 0.5 0.5 0.2 0.NUMBER1", "txt"),
        ("0 0.5 0.5 1 1", "txt"),
        ("", "txt"),
        ('{"version": "5.2", "shapes": [], "imageData": null}', "json"),
        ('{"title": "NUMBER.jpg", "photoTakenTime": {"timestamp": "1"}}', "json"),
        ('{"label": "caption NAME NUMBER"}', "json"),
        ("NAME", "cls"),
        ("NAME", "txt"),
        ('{"label": "NAME"}', "json"),
    ],
)
def test_class_folders_with_files_beside_the_images_are_class_folders(text: str, ending: str) -> None:
    files = folders(text, ending)
    assert are_class_folders("uri", members(files))
    reading = one(files)
    assert {sample.image: sample.label for sample in reading.samples} == {
        f"{name}/{i}.jpg": name for name in ("cat", "dog") for i in range(12)
    }
    assert len(reading.ignored) == 24


@pytest.mark.parametrize("around", ["", "photos/", "photos/inner/"])
def test_one_caption_among_the_last_members_changes_nothing(around: str) -> None:
    files = {f"{around}{name}/{i}.jpg": "" for name in ("cat", "dog") for i in range(40)}
    assert are_class_folders("uri", members(files))
    assert are_class_folders("uri", members(files | {f"{around}dog/39.txt": "dog 39"}))
    assert are_class_folders("uri", members(files | {f"{around}dog/39.txt": "dog 39", "overview.png": ""}))


@pytest.mark.parametrize(("text", "ending"), [("0", "cls"), ('{"label": "0"}', "json")])
def test_class_folders_and_labels_that_differ_are_an_error_that_names_both(text: str, ending: str) -> None:
    files = folders(text, ending)
    files |= {f"dog/{i}.{ending}": text.replace("0", "1") for i in range(12)}
    with pytest.raises(DataError, match=rf"labels in \.{ending} files, which differ:\n  'cat' has the label '0'"):
        one(files)
    with pytest.raises(DataError, match="Expected only one of them"):
        are_class_folders("uri", members(files))


def test_texts_that_cross_the_folders_are_an_error_that_names_both() -> None:
    files = {name: str(at % 2) for at, name in enumerate(folders("x"))}
    with pytest.raises(DataError, match=r"class folders and also have labels in \.txt files"):
        one(files)


@pytest.mark.parametrize(
    ("text", "ending", "fault"),
    [
        ("a photo, number {}", "txt", "contain 24 different texts for 24 images, such as 'a photo, number 0' and"),
        ("{}", "cls", "contain 24 different texts for 24 images"),
        ('{{"label": {}.5}}', "json", "contain 24 different texts"),
        ("0 0.5 0.5 0.2 0.{}", "txt", "contain boxes or other rows of numbers, such as '0 0.5 0.5 0.2 0.0'"),
        ("line\nline {}", "txt", "contain longer texts, such as 'line"),
        ("long " * 100, "txt", "contain longer texts"),
    ],
)
def test_texts_that_are_no_classes_are_an_error_that_says_what_they_are(text: str, ending: str, fault: str) -> None:
    files = {f"{i:04}.jpg": "" for i in range(24)} | {f"{i:04}.{ending}": text.format(i) for i in range(24)}
    with pytest.raises(DataError, match=rf"no class labels found.*\n  the \.{ending} files beside 24 images {fault}"):
        one(files)
    with pytest.raises(DataError, match="no class labels found"):
        are_class_folders("uri", members(files))


def test_captions_beside_labels_are_ignored_and_counted() -> None:
    captions = {f"{i:04}.txt": f"a photo, number {i}" for i in range(24)}
    for ending in ("cls", "json"):
        reading = one(captions | pairs(24, "jpg", ending))
        assert {sample.label for sample in reading.samples} == {"0", "1"}
        assert reading.ignored == tuple(f"data-000/{name}" for name in captions)


def test_cls_counts_where_json_has_a_label_too() -> None:
    files = pairs(8, "jpg", "cls") | {f"{i:04}.json": '{"label": "name"}' for i in range(8)}
    assert set(found(members(files)).values()) == {"0", "1"}


def test_all_shards_decide_together() -> None:
    first = {f"a{i}.jpg": "" for i in range(4)} | {f"a{i}.cls": "cat" for i in range(4)}
    second = {f"b{i}.jpg": "" for i in range(4)} | {f"b{i}.cls": "dog" for i in range(4)}
    samples = read("uri", [members(first, "train-0"), members(second, "val-0")]).samples
    assert {(sample.shard, sample.split, sample.label) for sample in samples} == {
        ("train-0", "train", "cat"),
        ("val-0", "val", "dog"),
    }


def test_samples_without_an_image_are_ignored_and_counted() -> None:
    reading = one(pairs(8, "jpg", "cls") | {"9.cls": "1", "9.npy": "", "classes.txt": "cat\ndog"})
    assert reading.ignored == ("data-000/9.cls", "data-000/9.npy", "data-000/classes.txt")


def test_shards_without_an_image_name_the_keys_that_they_hold() -> None:
    with pytest.raises(DataError, match=r"no images found in the shards, only the keys \.cls \(8\), \.npy \(8\)"):
        one(pairs(8, "npy", "cls"))


def test_images_without_a_label_name_the_keys_that_there_are() -> None:
    with pytest.raises(
        DataError, match=r"8 samples of the shards have no label(.|\n)*Found the keys \.index \(8\), \.jpg \(8\)"
    ):
        one(pairs(8, "jpg", "index"))


@pytest.mark.parametrize(
    ("shard", "image", "split"),
    [
        ("train-000", "", "train"),
        ("train-test-split/train-000", "", "train"),
        ("train-test-split/val-000", "", "val"),
        ("train-test-split/test-000", "", "test"),
        ("test/train-000", "", "train"),
        ("test/shard-000", "", "test"),
        ("train/v2-val/000", "", "val"),
        ("imagenet_validation_007", "", "val"),
        ("train2017-003", "", "train"),
        ("train-val-000", "", None),  # both: neither counts
        ("train-test-split/000", "", None),
        ("data-000", "val/0001.jpg", "val"),
        ("data-000", "a/0001.jpg", None),
        ("train-000", "val/0001.jpg", "train"),
    ],
)
def test_the_split_is_told_by_the_shards_own_name_then_by_the_nearest_folder(
    shard: str, image: str, split: str | None
) -> None:
    assert split_of(shard, image) == split


def test_label_files_are_read_with_their_marks_and_blanks_removed() -> None:
    assert label_text("a.cls", io.BytesIO("\ufeff cafe\u0301 \n".encode())) == "café"
    assert label_text("a.json", io.BytesIO(b'"cat"')) == "cat"
    assert label_text("a.json", io.BytesIO(b'{"class": null}')) == ""
    assert label_text("a.json", io.BytesIO(b'[{"label": "cat"}]')) == ""
    assert label_text("a.json", io.BytesIO(b"{")) == ""


def test_folders_of_one_image_each_are_no_classes() -> None:
    files = pairs(12, "jpg", "cls", stem="{:04}/a")
    assert found(members(files)) == {f"{i:04}/a.jpg": str(i % 2) for i in range(12)}
