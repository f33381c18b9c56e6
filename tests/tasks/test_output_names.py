from __future__ import annotations

from pathlib import Path

import pytest

from raytl.tasks.output_names import output_names, relative_paths


def test_names_mirror_the_folders_below_the_one_that_all_share() -> None:
    assert output_names(["/d/a/1.jpg", "/d/b/1.jpg", "/d/2.png"], ".txt") == ["a/1.txt", "b/1.txt", "2.txt"]


def test_one_photo_has_its_own_name() -> None:
    assert output_names(["/d/a/1.jpg"], ".txt") == ["1.txt"]


def test_no_photos_have_no_names() -> None:
    assert output_names([], ".txt") == []


@pytest.mark.parametrize(
    "paths",
    [
        ["/d/1.jpg", "/d/1.png", "/d/1.jpg.jpg"],
        ["/d/1.jpg", "/d/1.JPG", "/d/1.Jpg", "/d/x/1.jpg"],
        ["/d/\u00e9.jpg", "/d/e\u0301.jpg"],
        ["/d/1.txt/2.jpg", "/d/1.jpg"],
        ["/d/1.jpg"] * 3,
        ["/d/..jpg", "/d/.jpg", "/d/...jpg", "/d/..png"],
        ["s3://b/d/1.jpg", "s3://c/d/1.jpg", "/d/1.jpg", "d/1.jpg"],
        ["/d/" + "x" * 250 + ".jpg", "/d/" + "x" * 251 + ".jpg", "/d/" + "ガ" * 84 + ".png"],
    ],
)
def test_no_two_photos_have_one_name(paths: list[str], tmp_path: Path) -> None:
    names = output_names(paths, ".png")
    assert len({name.casefold() for name in names}) == len(paths)
    for name in names:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists()
        file.touch()


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/../../x.jpg",
        "s3://b/../../x.jpg",
        "s3://b//.//..",
        "s3://b/a\0b.jpg",
        "/",
        "a\nb.jpg",
        "-rf",
    ],
)
def test_names_never_leave_the_output_folder(path: str, tmp_path: Path) -> None:
    for name in output_names([path, "s3://other/y.jpg"], ".txt"):
        assert (tmp_path / name).resolve().is_relative_to(tmp_path)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()


def test_names_that_are_not_utf8_keep_their_bytes() -> None:
    assert output_names(["/d/caf\udce9.jpg"], ".txt") == ["caf\udce9.txt"]


def test_relative_paths_keep_their_endings() -> None:
    assert relative_paths(["s3://b/d/a/1.jpg", "s3://b/d/2.png"]) == ["a/1.jpg", "2.png"]
