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
    assert manifest.ignored == ("1.jpg", f"{val}/1.jpg")


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


def test_other_files_are_ignored_and_listed_hidden_ones_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "cat/notes.txt", "dog/1.jpg", "dog/._1.jpg", ".ipynb_checkpoints/1.jpg", "loose.jpg")
    write(tmp_path, "__MACOSX/cat/1.jpg", "cat/.DS_Store")
    manifest = scan(str(tmp_path))
    assert list(found(manifest)) == ["cat/1.jpg", "dog/1.jpg"]
    assert manifest.ignored == ("cat/notes.txt", "loose.jpg")


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
        (["1.jpg", "2.jpg"], "found 2 images that lie in no class folder"),
        (["cat/1.jpg"], "all 1 images are of one class, 'cat'"),
        (["train/1.jpg", "test/2.jpg"], "found only test/, train/ and no class folders inside train/"),
        (["val/cat/1.jpg", "test/cat/2.jpg"], "found only test/, val/ and no class folders inside train/"),
        (["train/cat/1.jpg", "train/dog/1.jpg", "extra/1.jpg"], r"(?s)\(train\) lie beside other folders.*'extra'"),
        (
            ["cat/1.jpg", "dog/", "fox/a.heic", "owl/1.jpg"],
            r"(?s)2 class folders have no images .*'dog' \(empty\)\n  'fox' \(1 other files, such as 'fox/a.heic'\)",
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


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/no/such", "data.uri '/no/such': /no/such does not exist; expected a folder"),
        ("gs://bucket/x", "scheme gs:// is not known; expected a folder"),
    ],
)
def test_a_uri_that_leads_nowhere_is_refused(uri: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(uri)


def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.rar is neither a folder nor a known manifest"):
        scan(str(write(tmp_path, "a.rar") / "a.rar"))
