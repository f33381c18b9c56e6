"""What `predict` finds in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.errors import DataError
from raytl.evaluation.inputs import photos
from raytl.evaluation.predict import predict
from raytl.run import RunFolder
from raytl.store.open import open_store

pytestmark = pytest.mark.s3


def fill(bucket: str, *keys: str, content: bytes = b"x") -> str:
    """The bucket's URI, with these objects in it."""
    for key in keys:
        open_store(f"s3://{bucket}").put_bytes(key, content)
    return f"s3://{bucket}"


def test_a_prefix_gives_its_photos_and_names_what_is_left_out(bucket: str) -> None:
    uri = fill(bucket, "new/b.JPG", "new/deep/a b'ü.png", "new/notes.txt", "new/Thumbs.db", "newer/x.jpg")
    others: list[tuple[str, str]] = []
    for prefix in (f"{uri}/new", f"{uri}/new/"):
        others.clear()
        found = photos([prefix], lambda *each: others.append(each))
        assert found == (f"{uri}/new/b.JPG", f"{uri}/new/deep/a b'ü.png")
        assert others == [
            (f"{uri}/new/Thumbs.db", "system files"),
            (f"{uri}/new/notes.txt", "files that are not images"),
        ]
    assert photos([uri]) == (f"{uri}/new/b.JPG", f"{uri}/new/deep/a b'ü.png", f"{uri}/newer/x.jpg")


def test_names_that_no_file_can_have_are_predicted_all_the_same(bucket: str) -> None:
    uri = fill(bucket, "odd//1.jpg", f"odd/{'n' * 300}.jpg")
    fill(bucket, "odd/marker/", content=b"")
    others: list[tuple[str, str]] = []
    found = photos([f"{uri}/odd"], lambda *each: others.append(each))
    assert found == (f"{uri}/odd//1.jpg", f"{uri}/odd/{'n' * 300}.jpg")
    assert others == [(f"{uri}/odd/marker/", "folder markers")]


def test_one_photo_is_taken_whatever_it_is_called(bucket: str) -> None:
    uri = fill(bucket, "a/photo", "top.jpg")
    assert photos([f"{uri}/a/photo", f"{uri}/top.jpg"]) == (f"{uri}/a/photo", f"{uri}/top.jpg")


def test_a_folder_marker_beside_the_prefix_is_not_the_photo(bucket: str) -> None:
    fill(bucket, "set", "set/", content=b"")
    uri = fill(bucket, "set/1.jpg")
    assert photos([f"{uri}/set"]) == (f"{uri}/set/1.jpg",)


def test_a_manifest_names_objects_beside_it(bucket: str) -> None:
    uri = fill(bucket, "m/list.csv", content=b"path,label\nin/1.jpg,cat\ngone.jpg,dog\n")
    assert photos([f"{uri}/m/list.csv"]) == (f"{uri}/m/in/1.jpg", f"{uri}/m/gone.jpg")


def test_a_manifest_in_a_bucket_names_no_file_of_this_machine(bucket: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"x")
    uri = fill(bucket, "m/list.csv", content=f"path\n{secret}\n../../lock\nok.jpg\n".encode())
    with pytest.raises(
        DataError, match=r"2 paths lie outside the manifest's folder; expected paths below it(?s:.*)secret"
    ):
        photos([f"{uri}/m/list.csv"])


def test_all_that_is_wrong_is_named_at_once(bucket: str) -> None:
    uri = fill(bucket, "texts/a.txt")
    with pytest.raises(DataError, match=r"(?s)texts: no photos below this prefix.*gone: no such object"):
        photos([f"{uri}/texts", f"{uri}/gone"])


def test_photos_are_predicted_from_the_bucket_and_told_by_their_uris(
    bucket: str, s3_client: Any, run: RunFolder, tmp_path: Path
) -> None:
    photo = next((tmp_path / "photos" / "blue").iterdir()).read_bytes()
    uri = fill(bucket, "new/1.jpg", "new/2.jpg", content=photo)
    s3_client.put_object(Bucket=bucket, Key="new/ice.jpg", Body=photo, StorageClass="GLACIER")
    fill(bucket, "list.csv", content=b"path\nnew/1.jpg\nnew/gone.jpg\n")
    found = predict(run.root, [f"{uri}/new", f"{uri}/list.csv"], out=tmp_path / "p.csv")
    assert found.paths == (f"{uri}/new/1.jpg", f"{uri}/new/2.jpg")
    reasons = {each.path: each.reason for each in found.unreadable}
    assert sorted(reasons) == [f"{uri}/new/gone.jpg", f"{uri}/new/ice.jpg"]
    assert reasons[f"{uri}/new/ice.jpg"].startswith("archived in GLACIER; restore it first")
    assert "archived in GLACIER; restore it first (aws s3api restore-object --bucket" in reasons[f"{uri}/new/ice.jpg"]
    assert "credentials" not in reasons[f"{uri}/new/ice.jpg"]
    assert (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[1].startswith(f"{uri}/new/1.jpg,")
