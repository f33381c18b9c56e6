"""Rows that name images which only this machine has are found before a job is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.data.formats.cluster_rows import refuse_local_rows
from raytl.errors import DataError
from raytl.events import Event, Message
from raytl.store.open import open_store


def written(folder: Path, *paths: str) -> str:
    rows = "".join(f"{path},cat\n" for path in paths)
    (folder / "rows.csv").write_text(f"path,label\n{rows}")
    return str(folder / "rows.csv")


def test_a_manifest_on_this_machine_may_name_objects_and_absolute_paths(tmp_path: Path) -> None:
    refuse_local_rows(written(tmp_path, "s3://b/1.jpg", "/mnt/2.jpg"))
    refuse_local_rows(str(tmp_path))
    refuse_local_rows(str(tmp_path / "none.csv"))


def test_a_manifest_on_this_machine_may_not_name_the_files_beside_it(tmp_path: Path) -> None:
    wanted = (
        r"(?s)rows.csv: rows name images relative to the manifest, which a cluster cannot read:\n  'a/1.jpg'\n  '2.jpg'\n"
        "expected s3:// URIs, or absolute paths that exist on every node. Upload"
    )
    with pytest.raises(DataError, match=wanted):
        refuse_local_rows(written(tmp_path, "s3://b/1.jpg", "a/1.jpg", "/mnt/2.jpg", "2.jpg"))


def test_a_table_of_boxes_is_read_by_its_own_columns(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("filename,xmin,ymin,xmax,ymax,class\na.jpg,1,1,2,2,cat\n")
    with pytest.raises(DataError, match="'a.jpg'"):
        refuse_local_rows(str(tmp_path / "boxes.csv"))


@pytest.mark.s3
@pytest.mark.parametrize("path", ["/home/me/1.jpg", "../1.jpg", "photos/1.jpg", "C:\\photos\\1.jpg"])
def test_a_manifest_in_a_bucket_may_name_only_objects(bucket: str, path: str, tmp_path: Path, s3_client: Any) -> None:
    store = open_store(f"s3://{bucket}/data")
    store.put_bytes("é/1.jpg", b"x")
    store.put_file(Path(written(tmp_path, "é\\1.jpg", "s3://elsewhere/2.jpg")), "rows.csv")
    refuse_local_rows(f"{store.uri}/rows.csv")
    store.put_file(Path(written(tmp_path, "é/1.jpg", path)), "rows.csv")
    with pytest.raises(
        DataError, match=r"(?s)cannot read:\n  '.*1.jpg'\nexpected s3:// URIs, or paths of objects relative"
    ):
        refuse_local_rows(f"{store.uri}/rows.csv")


@pytest.mark.s3
def test_a_bucket_that_this_machine_cannot_read_is_left_to_the_cluster(bucket: str) -> None:
    events: list[Event] = []
    refuse_local_rows(f"s3://{bucket}-of-another/rows.csv", on_event=events.append)
    assert next(event.text for event in events if isinstance(event, Message)).startswith(
        f"the rows of s3://{bucket}-of-another/rows.csv are not checked, as this machine cannot read it: "
    )
