from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.formats import folders
from raytl.data.formats.key_tree import files_below, tree
from raytl.errors import DataError


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_the_images_among_keys_are_a_tree_and_the_others_are_listed() -> None:
    root, others = tree(["b/2.jpg", "b/c/1.png", "b/notes.txt", "1.jpg", "empty/", "dir.jpg/"])
    assert list(root.below()) == ["1.jpg", "b/2.jpg", "b/c/1.png"]
    assert {name: folder.total for name, folder in root.folders.items()} == {"b": 2, "empty": 0, "dir.jpg": 0}
    assert others == ["b/notes.txt"]


def test_a_folder_of_a_tool_counts_once_however_many_files_it_holds() -> None:
    _, others = tree(["@eaDir/1.jpg", "@eaDir/a/2.jpg", "cat/@eaDir/", "cat/.DS_Store", "cat/.1.jpg"])
    assert others == ["@eaDir/", "cat/@eaDir/", "cat/.DS_Store", "cat/.1.jpg"]


def test_a_walk_gives_each_folders_own_files_first_and_enters_no_folder_of_a_tool(tmp_path: Path) -> None:
    write(tmp_path, "b.jpg", "a/1.jpg", "a/.x/2.jpg", ".git/objects/1", "__MACOSX/1.jpg")
    (tmp_path / "c").mkdir()
    assert list(files_below(tmp_path)) == ["b.jpg", ".git/", "__MACOSX/", "a/1.jpg", "a/.x/2.jpg", "c/"]


def test_folders_inside_each_other_to_any_depth_are_read() -> None:
    deep = "/".join(["a"] * 2000)
    assert list(tree([f"{deep}/1.jpg"])[0].below()) == [f"{deep}/1.jpg"]


def test_a_walk_follows_links_but_not_in_circles_and_names_broken_ones(tmp_path: Path) -> None:
    write(tmp_path, "store/1.jpg", "days/now/2.jpg")
    (tmp_path / "days" / "day1").symlink_to(tmp_path / "store")
    (tmp_path / "days" / "again").symlink_to(tmp_path / "days")
    (tmp_path / "days" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert list(files_below(tmp_path / "days")) == ["gone.jpg", "day1/1.jpg", "now/2.jpg"]


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match=r"loop: cannot be listed \(Too many levels of symbolic links\)"):
        list(files_below(tmp_path))


def test_a_listing_of_a_bucket_is_read_as_the_same_files_in_a_folder(tmp_path: Path) -> None:
    names = [f"set/{split}/{split}/{label}/1.jpg" for split in ("my_train", "my_test") for label in ("cat", ".22 LR")]
    write(tmp_path, *names, "README.md", "set/.DS_Store", "__MACOSX/set/1.jpg", "set/my_pred/9.jpg")
    there = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    here = folders.scan(files_below(tmp_path), str(tmp_path), "x")
    listing = folders.scan([*there, "set/"], "s3://bucket/x", "x")
    assert [(s.key, s.label, s.split) for s in listing.samples] == [(s.key, s.label, s.split) for s in here.samples]
    assert listing.ignored == here.ignored
    assert listing.warnings == here.warnings
    assert listing.samples[0].path == f"s3://bucket/x/set/{listing.samples[0].key}"
