from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from raytl.errors import UserError
from raytl.tasks.answers import Answers, OpenPhoto, OutputFormat, open_photo, output_format


def nothing(answers: Answers[int], out: Path, photo: OpenPhoto) -> None:
    raise AssertionError


FORMATS = (
    OutputFormat("coco", ".json", nothing),
    OutputFormat("yolo", "", nothing),
    OutputFormat("overlays", "", nothing),
)


def test_the_ending_chooses_the_format_and_no_ending_the_first_folder(tmp_path: Path) -> None:
    assert output_format(FORMATS, tmp_path / "p.JSON").name == "coco"
    assert output_format(FORMATS, tmp_path / "p").name == "yolo"


def test_a_name_chooses_the_format(tmp_path: Path) -> None:
    assert output_format(FORMATS, tmp_path / "p.v2", "overlays").name == "overlays"


@pytest.mark.parametrize(
    ("out", "name", "wrong"), [("p.xlsx", None, "the ending '.xlsx'"), ("p", "voc", "the format 'voc'")]
)
def test_an_unknown_format_is_an_error_that_lists_all(out: str, name: str | None, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"found {wrong}, expected one of coco \(\.json\), yolo \(a folder\)"):
        output_format(FORMATS, tmp_path / out, name)


def test_a_folder_with_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    assert output_format(FORMATS, tmp_path / "p").name == "yolo"
    (tmp_path / "p" / "mine.txt").touch()
    with pytest.raises(UserError, match="this is a folder with files; expected a new or empty folder"):
        output_format(FORMATS, tmp_path / "p")


def test_a_file_is_not_replaced_by_a_folder_nor_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    (tmp_path / "p.json").mkdir()
    with pytest.raises(UserError, match="this is a file; expected a new or empty folder"):
        output_format(FORMATS, tmp_path / "p")
    with pytest.raises(UserError, match="this is a folder; expected the name of a file"):
        output_format(FORMATS, tmp_path / "p.json")


def test_a_photo_that_cannot_be_read_opens_as_none(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    Image.new("L", (3, 2)).save(tmp_path / "good.png")
    assert open_photo(str(tmp_path / "gone.jpg")) is None
    assert open_photo(str(tmp_path / "bad.jpg")) is None
    assert (opened := open_photo(str(tmp_path / "good.png"))) and (opened.mode, opened.size) == ("RGB", (3, 2))
