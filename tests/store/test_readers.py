"""A pull leaves files as they are while a process reads them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from raytl.data.sample_columns import DigestWriter, PathWriter
from raytl.data.texts import Texts
from raytl.data.verified_files import VerifiedFiles
from raytl.errors import StoreError
from raytl.store.pins import pin
from raytl.store.pulled import Place
from raytl.store.readers import is_read, reading
from raytl.store.sync import pull


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text(name)
    return source


def opened(folder: Path, column: str) -> VerifiedFiles:
    """Return the file `a` of the folder as images or masks are opened."""
    paths, digests = PathWriter(), DigestWriter()
    paths.add(f"{folder}/a", "a")
    digests.add(hashlib.sha256(b"a").hexdigest())
    texts = Texts.of([f"{folder}/a"])
    return VerifiedFiles(paths.column(Texts.of(["a"])) if column == "images" else texts, digests.column(), 10**6)


@pytest.mark.parametrize("column", ["images", "masks"])
def test_files_that_are_read_are_neither_replaced_nor_deleted(column: str, source: Path) -> None:
    files = opened(pull(str(source)), column)
    (source / "c").write_text("new")
    folder = pull(str(source))
    assert (folder / "c").read_text() == "new"
    (source / "a").write_text("A")
    (source / "b").unlink()
    with pytest.raises(StoreError, match=r"1 objects were replaced and 1 removed .*'a', 'b', .*reads.*RAYTL_CACHE"):
        pull(str(source))
    assert files.read(0) == b"a"
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "c"]
    del files
    assert sorted(path.name for path in pull(str(source)).iterdir()) == ["a", "c"]
    assert (folder / "a").read_text() == "A"


def test_tables_and_what_killed_pulls_left_are_replaced_and_deleted_all_the_same(source: Path) -> None:
    for name in ("table.csv", "boxes.JSON"):
        (source / name).write_text("old")
    folder = pull(str(source))
    files = opened(folder, "images")
    (folder / ".part.0badcafe.tmp").touch()
    (source / "table.csv").write_text("with new rows")
    (source / "boxes.JSON").unlink()
    pull(str(source))
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "table.csv"]
    assert (folder / "table.csv").read_text() == "with new rows"
    assert files.read(0) == b"a"


def test_a_process_that_only_pinned_the_files_keeps_none(source: Path) -> None:
    folder = pull(str(source))
    pin(folder.parent)
    (source / "a").write_text("A")
    pull(str(source))
    assert (folder / "a").read_text() == "A"


def test_a_set_that_awaits_the_garbage_collector_keeps_no_file(source: Path) -> None:
    cycle: list[object] = [opened(pull(str(source)), "images")]
    cycle.append(cycle)
    del cycle
    (source / "a").write_text("A")
    assert (pull(str(source)) / "a").read_text() == "A"


def test_a_killed_reader_keeps_no_file(source: Path) -> None:
    place = Place(pull(str(source)).parent)
    script = "import sys; from pathlib import Path; from raytl.store.readers import SharedLock; "
    script += "lock = SharedLock(Path(sys.argv[1])); print('reads', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place.readers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"reads\n"
        assert is_read(place)
        other.kill()
    assert not is_read(place)


def test_a_place_of_an_earlier_version_is_read_without_a_lock(tmp_path: Path) -> None:
    assert reading([Place(tmp_path)]) == []
