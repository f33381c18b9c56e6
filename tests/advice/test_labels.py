"""What `raytl labels` refuses before it ranks anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.advice.labels import doubtful_labels
from raytl.config.schema import Experiment
from raytl.errors import DataError
from raytl.labelling import sheet


@pytest.mark.parametrize("out", ["mine.csv", "mine.csv/labels"])
def test_a_file_in_place_of_the_folder_is_an_error_before_the_data_is_read(tmp_path: Path, out: str) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    experiment = Experiment(name="x", data=str(tmp_path / "gone"), model="m")
    with pytest.raises(DataError, match=r"mine\.csv is a file; expected a folder, to which doubtful-labels\.csv"):
        doubtful_labels(experiment, out=tmp_path / out)


def test_a_filled_table_is_found_before_the_data_is_read(tmp_path: Path) -> None:
    (tmp_path / sheet.TABLE).write_text(",".join(sheet.HEAD) + "\na.jpg,train,a,b,0.1,0.5,b,me,seen\n")
    experiment = Experiment(name="x", data=str(tmp_path / "gone"), model="m")
    with pytest.raises(DataError, match="has 1 label that would be lost"):
        doubtful_labels(experiment, out=tmp_path)
