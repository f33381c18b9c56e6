"""Class folders as people have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.errors import DataError


def write(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return root


def found(manifest: Manifest) -> dict[str, tuple[str, str | None]]:
    return {sample.key: (sample.label, sample.split) for sample in manifest.samples}


def test_flat_class_folders(tmp_path: Path) -> None:
    manifest = scan(str(write(tmp_path, "cat/1.jpg", "cat/2.PNG", "dog/1.webp")))
    assert found(manifest) == {"cat/1.jpg": ("cat", None), "cat/2.PNG": ("cat", None), "dog/1.webp": ("dog", None)}
    assert manifest.classes == ("cat", "dog")
    assert manifest.samples[0].path == str(tmp_path / "cat/1.jpg")
    assert scan(f"file://{tmp_path}").samples == manifest.samples


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_split_folders_by_any_of_their_names(tmp_path: Path, val: str) -> None:
    write(
        tmp_path,
        "train/cat/1.jpg",
        "train/dog/1.jpg",
        f"{val}/cat/2.jpg",
        "test/dog/3.jpg",
        "README.md",
        "1.jpg",
        f"{val}/1.jpg",
    )
    manifest = scan(str(tmp_path))
    assert found(manifest) == {
        "train/cat/1.jpg": ("cat", "train"),
        "train/dog/1.jpg": ("dog", "train"),
        f"{val}/cat/2.jpg": ("cat", "val"),
        "test/dog/3.jpg": ("dog", "test"),
    }
    assert manifest.ignored == tuple(sorted(("1.jpg", "README.md", f"{val}/1.jpg")))


def test_images_deep_inside_a_class_folder_are_of_that_class(tmp_path: Path) -> None:
    manifest = scan(str(write(tmp_path, "cat/2024/05/1.jpg", "cat/2.jpg", "dog/a b/'c'\n.jpg")))
    assert found(manifest) == {
        "cat/2.jpg": ("cat", None),
        "cat/2024/05/1.jpg": ("cat", None),
        "dog/a b/'c'\n.jpg": ("dog", None),
    }


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xff.jpg")).write_bytes(b"x")
    assert [sample.key for sample in scan(str(tmp_path)).samples] == ["cat/1.jpg", "cat/\udcff.jpg", "dog/1.jpg"]


def test_other_files_are_ignored_and_listed_and_a_folder_of_a_tool_counts_once(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "cat/notes.txt", "dog/1.jpg", "dog/._1.jpg", ".ipynb_checkpoints/1.jpg", "loose.jpg")
    write(tmp_path, "__MACOSX/cat/1.jpg", "__MACOSX/dog/1.jpg", "cat/.DS_Store", "README.md", ".hidden.jpg")
    manifest = scan(str(tmp_path))
    assert list(found(manifest)) == ["cat/1.jpg", "dog/1.jpg"]
    assert set(manifest.ignored) == {
        *("cat/notes.txt", "dog/._1.jpg", ".ipynb_checkpoints/", "loose.jpg"),
        *("__MACOSX/", "cat/.DS_Store", "README.md", ".hidden.jpg"),
    }


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    manifest = scan(str(write(tmp_path, "train/1.jpg", "bus/1.jpg", "tram/1.jpg")))
    assert manifest.classes == ("bus", "train", "tram")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    data, elsewhere = write(tmp_path / "data", "cat/1.jpg"), write(tmp_path / "elsewhere", "dog/1.jpg")
    (data / "dog").symlink_to(elsewhere / "dog")
    (data / "cat" / "again").symlink_to(data / "cat")
    assert list(found(scan(str(data)))) == ["cat/1.jpg", "dog/1.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "found no images; expected <class>/<image> or train/<class>/<image>"),
        (["1.jpg", "2.jpg"], "found 2 images outside any class folder"),
        (["cat/1.jpg"], "all 1 images are of one class, 'cat'"),
        (["train/1.jpg", "test/2.jpg"], "found only test/, train/ and no class folders inside train/"),
        (["val/cat/1.jpg", "test/cat/2.jpg"], "found only test/, val/ and no class folders inside train/"),
        (
            ["train/cat/1.jpg", "train/dog/1.jpg", "extra/1.jpg"],
            r"(?s)\(train\) are mixed with other image folders.*'extra'",
        ),
        (
            ["cat/1.jpg", "dog/", "fox/a.psd", "owl/1.jpg"],
            r"(?s)2 class folders have no images .*'dog' \(empty\)\n  'fox' \(1 other files, such as 'fox/a.psd'\)",
        ),
        (["train/cat/1.jpg", "train/dog/", "val/dog/1.jpg"], r"(?s)1 class folders have no images.*'train/dog'"),
    ],
)
def test_what_is_no_class_folder_layout_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(str(write(tmp_path, *names)))


def test_an_empty_class_in_val_alone_is_no_error(tmp_path: Path) -> None:
    manifest = scan(str(write(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/dog/")))
    assert len(manifest.samples) == 3


def splits(manifest: Manifest) -> set[tuple[str, str | None]]:
    return {(sample.label, sample.split) for sample in manifest.samples}


def pairs(*folders: str) -> list[str]:
    """Two classes of an image each in each of the folders."""
    return [f"{folder}/{name}/{number}.jpg" for number, folder in enumerate(folders) for name in ("cat", "dog")]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set", "test_set"),
        ("training_set/training_set", "test_set/test_set"),
        ("train_images", "test_images"),
        ("TrainImages", "TestImages"),
        ("trainset", "testset"),
        ("Train-2024", "Test-2024"),
        ("data_train", "data_test"),
        ("chest_train_v2", "chest_test_v2"),
        ("train1", "test1"),
        ("train/images", "test/images"),
        ("images/train", "images/test"),
        ("archive/dataset/Training", "archive/dataset/Testing"),
        ("resized_train", "test"),  # the names differ by more than the split, and the classes are the same
        ("train", "test/cats and dogs"),
    ],
)
def test_folders_whose_names_tell_a_split_are_splits(tmp_path: Path, train: str, test: str) -> None:
    manifest = scan(str(write(tmp_path, *pairs(train, test), "README.md")))
    assert splits(manifest) == {(name, split) for name in ("cat", "dog") for split in ("train", "test")}


@pytest.mark.parametrize("unlabeled", ["seg_pred/seg_pred", "seg_pred", "unlabeled", "pred/images"])
def test_images_without_labels_beside_splits_are_left_out_and_named(tmp_path: Path, unlabeled: str) -> None:
    names = pairs("seg_train/seg_train", "seg_test/seg_test")
    manifest = scan(str(write(tmp_path, *names, f"{unlabeled}/7.jpg")))
    assert len(manifest.samples) == 4
    assert manifest.classes == ("cat", "dog")
    assert manifest.ignored == (f"{unlabeled}/7.jpg",)


@pytest.mark.parametrize("unlabeled", ["test", "test/test", "test/images"])
def test_a_test_folder_without_labels_is_left_out(tmp_path: Path, unlabeled: str) -> None:
    manifest = scan(str(write(tmp_path, *pairs("train", "val"), f"{unlabeled}/7.jpg")))
    assert {split for _, split in splits(manifest)} == {"train", "val"}
    assert manifest.ignored == (f"{unlabeled}/7.jpg",)


@pytest.mark.parametrize(
    "names",
    [
        ["test_tube/1.jpg", "flask/1.jpg"],
        ["train_car/1.jpg", "train_station/1.jpg", "test_tube/1.jpg"],
        ["train_car/a/1.jpg", "test_tube/b/1.jpg"],
        ["valid/1.jpg", "invalid/1.jpg"],
        ["contest/1.jpg", "retrain/1.jpg"],
    ],
)
def test_classes_whose_names_hold_the_word_of_a_split_stay_classes(tmp_path: Path, names: list[str]) -> None:
    manifest = scan(str(write(tmp_path, *names)))
    assert splits(manifest) == {(name.partition("/")[0], None) for name in names}


@pytest.mark.parametrize("around", ["photos", "photos/photos", "archive/data/v1.0", ".photos"])
def test_folders_around_the_class_folders_are_entered(tmp_path: Path, around: str) -> None:
    write(tmp_path, *pairs(around), "README.md", f"{around}/LICENSE", "__MACOSX/x/1.jpg", ".github/workflows/ci.yml")
    manifest = scan(str(tmp_path))
    assert list(found(manifest)) == ["cat/0.jpg", "dog/0.jpg"]
    assert manifest.samples[0].path == str(tmp_path / around / "cat/0.jpg")
    assert set(manifest.ignored) == {"README.md", f"{around}/LICENSE", "__MACOSX/", ".github/workflows/ci.yml"}


def test_a_folder_around_the_splits_is_entered(tmp_path: Path) -> None:
    manifest = scan(str(write(tmp_path, *pairs("chest_xray/train", "chest_xray/val"))))
    assert found(manifest)["val/cat/1.jpg"] == ("cat", "val")


def test_folders_inside_class_folders_are_no_classes(tmp_path: Path) -> None:
    names = ["cat/images/1.jpg", "dog/images/1.jpg", "fox/images/a/1.jpg"]
    assert scan(str(write(tmp_path, *names))).classes == ("cat", "dog", "fox")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            pairs("color", "grayscale", "segmented"),
            r"(?s): 3 folders contain the same image folders.*'color'.*'segmented'\neach with\n  'cat'\n  'dog'\n.*"
            r"If they are splits, name them train, val and test; otherwise use one of these folders, such as data.uri: \S+/color, or a manifest",
        ),
        (pairs("2023", "2024"), r"(?s)2 folders contain the same .*data.uri: \S+/2023, or a manifest"),
        (pairs("all/2023/2023", "all/2024"), r"(?s)2 folders contain the same .*data.uri: \S+/all/2023, or a manifest"),
        (pairs("2023", "2024", "2025")[:-1], "3 folders contain the same"),
        (["2023/OK/1.jpg", "2023/bad/1.jpg", "2024/ok/1.jpg", "2024/bad /1.jpg"], "2 folders contain the same"),
        (
            ["cat/train/1.jpg", "cat/test/2.jpg", "dog/train/1.jpg"],
            r"(?s)2 folders contain the same .*or a manifest \(a table of path, label and split\)",
        ),
        (
            pairs("train/color", "train/grey", "test/color", "test/grey"),
            r"(?s)2 folders .*Move the others out, or use",
        ),
        (
            [*pairs("cells"), "cat/1.jpg", "dog/1.jpg", "fox/1.jpg"],
            r"(?s)'cells' contains folders with the names of its sibling class folders:\n  'cat'\n  'dog'\n.*move 'cells' out of the dataset",
        ),
        (pairs("train", "training"), r"the folders 'train' and 'training' are both read as train; .* Merge them"),
        (pairs("train", "val", "validation"), "the folders 'val' and 'validation' are both read as val"),
        (pairs("train", "test", "extra"), r"(?s)\(test, train\) are mixed with other image folders:\n  'extra'"),
        ([*pairs("seg_train/seg_train"), "seg_pred/1.jpg"], r"(?s)\(seg_train\) are mixed with .*'seg_pred'"),
        (["seg_train/1.jpg", "seg_test/1.jpg"], "found only seg_test/, seg_train/ and no class folders inside train/"),
        (
            ["train/images/1.jpg", "train/labels/1.txt", "valid/images/1.jpg", "valid/labels/1.txt"],
            "found only train/, valid/ and no class folders inside train/",
        ),
        (
            [*pairs("images"), "labels/cat.xml"],
            r"(?s)'labels' \(1 other files, .*If the classes are in 'images', set data.uri: \S+/images$",
        ),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_what_to_give(
    tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        scan(str(write(tmp_path, *names)))


def test_class_folders_that_begin_with_a_dot_are_classes_with_a_warning(tmp_path: Path) -> None:
    manifest = scan(str(write(tmp_path, ".22 LR/1.jpg", "9 mm/1.jpg", ".empty/", ".git/1.jpg", ".notes/a.txt")))
    assert manifest.classes == (".22 LR", "9 mm")
    assert manifest.warnings == ("1 class folders start with a dot and are used as classes: '.22 LR'",)
    assert set(manifest.ignored) == {".git/", ".notes/a.txt"}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/no/such", "data.uri '/no/such': /no/such does not exist; expected a folder"),
        ("gs://bucket/x", "unknown scheme gs://; expected a folder"),
    ],
)
def test_a_uri_that_leads_nowhere_is_refused(uri: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(uri)


def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.rar is neither a folder nor a known manifest"):
        scan(str(write(tmp_path, "a.rar") / "a.rar"))
