from __future__ import annotations

import pytest

from raytl.data.formats.skip_rules import HIDDEN, NOT_IMAGES, SYSTEM, left_out, skip_reason


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("cat/1.jpg", ""),
        ("cat/1.JPG", ""),
        (".22 LR/1.jpg", ""),  # a calibre, not a hidden folder
        (".ipynb_checkpoints/1.jpg", SYSTEM),
        ("cat/._1.jpg", SYSTEM),
        ("__MACOSX/cat/1.jpg", SYSTEM),
        ("cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", SYSTEM),
        ("cat_$folder$", SYSTEM),
        ("cat/Thumbs.db", SYSTEM),
        ("cat/.1.jpg", HIDDEN),
        ("cat/1.txt", NOT_IMAGES),
        ("README", NOT_IMAGES),
    ],
)
def test_the_name_says_why_a_file_is_not_a_sample(key: str, reason: str) -> None:
    assert skip_reason(key) == reason


def test_what_is_left_out_is_counted_by_reason_and_named() -> None:
    lines = left_out(["b.txt", "a.txt", "c.txt", "d.txt", "x.jpg", ".DS_Store"])
    assert lines == [
        "4 files that are not images left out:\n  'a.txt'\n  'b.txt'\n  'c.txt'\n  ... and 1 more",
        "1 images outside any class folder left out:\n  'x.jpg'",
        "1 system files left out:\n  '.DS_Store'",
    ]
