from __future__ import annotations

from pathlib import Path

import pytest

from raytl.batch_inference.places import PartOptions, check_seen_by_all, etag_of, is_parted, output_uri, run_place
from raytl.config.machine import Machine
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError, UserError

EMBEDDED = Machine(compute=ComputeConfig(cluster="embedded"))


@pytest.mark.parametrize(
    ("out", "format_", "parts", "machine", "expected"),
    [
        (None, None, PartOptions(), Machine(), False),
        ("p.parquet", None, PartOptions(), Machine(), False),
        ("masks", None, PartOptions(), Machine(), False),
        ("masks/", "masks", PartOptions(), Machine(), False),
        ("predictions/", None, PartOptions(), Machine(), True),
        ("predictions/", "parquet", PartOptions(), Machine(), True),
        ("s3://out/x", None, PartOptions(), Machine(), True),
        (Path("predictions"), None, PartOptions(workers=1), Machine(), True),
        ("predictions", None, PartOptions(), EMBEDDED, True),
    ],
)
def test_the_output_says_whether_there_are_parts(
    out: str | Path | None, format_: str | None, parts: PartOptions, machine: Machine, expected: bool
) -> None:
    assert is_parted(out, format_, parts, machine) is expected


def test_options_that_cannot_take_effect_are_errors() -> None:
    with pytest.raises(UserError, match="--part-size, --new: needs an output in parts"):
        is_parted("p.csv", None, PartOptions(part_size=64, new=True), Machine())
    with pytest.raises(UserError, match="--format: found 'csv', expected parquet"):
        is_parted("s3://out/", "csv", PartOptions(), Machine())


def test_the_output_has_no_slash_at_its_end() -> None:
    assert output_uri("s3://out/a/", ["s3://in/"]) == "s3://out/a"
    assert output_uri("s3://bucket/", ["s3://in/"]) == "s3://bucket"


@pytest.mark.parametrize("out", [None, "", "s3://", "/"])
def test_workers_need_an_output(out: str | None) -> None:
    with pytest.raises(UserError, match="--out: expected a prefix or a folder"):
        output_uri(out, ["s3://in/"])


def test_a_file_is_no_place_for_parts() -> None:
    with pytest.raises(UserError, match=r"p\.parquet: found the name of a file, .* --out s3://b/p/"):
        output_uri("s3://b/p.parquet", ["s3://in/"])


@pytest.mark.parametrize(
    ("out", "source"),
    [
        ("s3://b/in/out/", "s3://b/in/"),
        ("s3://b/in/", "s3://b/in"),
        ("s3://b/", "s3://b/in/"),
        ("s3://b/out", "s3://b"),
        ("here/out/", "here"),
        ("here/../here/in/", "here/in/"),
    ],
)
def test_an_output_that_would_be_read_as_photos_is_refused(out: str, source: str) -> None:
    with pytest.raises(UserError, match="it overlaps the input"):
        output_uri(out, [source])


@pytest.mark.parametrize(("out", "source"), [("s3://b/inside/", "s3://b/in/"), ("s3://b/in/", "s3://b/in/list.csv")])
def test_neighbors_do_not_overlap(out: str, source: str) -> None:
    assert output_uri(out, [source]) == out.rstrip("/")


def test_a_link_does_not_hide_an_overlap(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(UserError, match="it overlaps the input"):
        output_uri(f"{tmp_path}/link/out/", [f"{tmp_path}/photos"])


def test_other_machines_must_see_everything() -> None:
    check_seen_by_all(["/photos/a.jpg"], 1, "auto")
    check_seen_by_all(["s3://in/a.jpg", "models:s3://b/trash@3", "s3://out"], 4, "auto")
    with pytest.raises(ConfigError, match=r"'head:6379' has 2 machines, but '/photos/a\.jpg' is a path of this one"):
        check_seen_by_all(["s3://in/a.jpg", "/photos/a.jpg"], 2, "head:6379")


def test_the_etag_of_a_file_changes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"1")
    before = etag_of(str(file))
    file.write_bytes(b"22")
    assert before and etag_of(str(file)) != before
    assert etag_of(str(tmp_path / "none.jpg")) == etag_of("s3://in/a.jpg") == ""


def test_a_run_has_an_absolute_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_place("runs/a") == f"{tmp_path}/runs/a"
    assert run_place("s3://b/a") == "s3://b/a"
