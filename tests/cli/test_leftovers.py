"""What a run writes has one mode, and what a kill left of it is gone after the next `raytl train`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos

pytestmark = pytest.mark.slow


@pytest.fixture(params=[0o022, 0o077], ids=["022", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask that is set meanwhile."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_all_that_a_run_writes_has_the_mode_that_the_umask_leaves_and_litter_is_swept(
    raytl: Raytl, tiny: Path, make_photos: MakePhotos, own_cache: Path, umask: int
) -> None:
    make_photos(8)
    for words in (("train", tiny), ("evaluate", "runs/tiny", "--split", "test")):
        ended = raytl(*words)
        assert ended.code == 0, ended.err
    root = tiny.parent / "runs"
    for place in (root, *root.rglob("*"), *own_cache.rglob("*")):
        expected = (0o777 if place.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(place.stat().st_mode) == expected, place

    _litter_is_swept(raytl, tiny, root / "tiny")


def _litter_is_swept(raytl: Raytl, tiny: Path, run: Path) -> None:
    litter = (
        ".metrics.jsonl.0badcafe.tmp",
        "checkpoints/.last.1badcafe.tmp/state.json",
        "evaluation/.test.2badcafe.tmp/x",
    )
    foreign = (".notes.tmp", "checkpoints/.keep", ".draft.0badcafe.tmp.txt")
    for name in (*litter, *foreign):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).touch()
    before = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    ended = raytl("train", tiny)
    assert ended.code == 0, ended.err
    after = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    assert before - after == {name for name in before if "badcafe.tmp" in name} - {".draft.0badcafe.tmp.txt"}
