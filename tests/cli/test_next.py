"""Files that `raytl next` does not overwrite unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.cli.next import _check_out
from raytl.errors import ConfigError


@pytest.mark.parametrize(
    ("there", "match"),
    [("photos.csv", r"photos\.csv: exists already"), ("photos.html", r"its page .*photos\.html exists")],
)
def test_neither_the_table_nor_its_page_is_overwritten(tmp_path: Path, there: str, match: str) -> None:
    _check_out(tmp_path / "photos.csv", force=False)
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=match):
        _check_out(tmp_path / "photos.csv", force=False)
    _check_out(tmp_path / "photos.csv", force=True)
