"""Dropped checkpoints: deleted at once from a folder, and on request from a bucket."""

from __future__ import annotations

from pathlib import Path

from raytl.run.mirror import BEST, LAST, Mirror
from raytl.search.checkpoints import Checkpoints, others, remove
from raytl.store.open import open_store


def trial(root: str, name: str, scratch: Path) -> str:
    """Upload a trial with both checkpoints below `root`."""
    place = f"{root}/{name}"
    mirror = Mirror(open_store(place), scratch / name)
    for kind in (BEST, LAST):
        (mirror.root / kind).mkdir(parents=True)
        (mirror.root / kind / "state").write_text(name)
    mirror.push_all()
    return place


def stored(place: str) -> set[str]:
    return {"/".join(info.key.split("/")[:2]) for info in open_store(place).list("checkpoints/")}


def test_in_a_folder_they_are_deleted_at_once(tmp_path: Path) -> None:
    for kind in (BEST, LAST):
        (tmp_path / "one" / kind).mkdir(parents=True)
    checkpoints = Checkpoints()
    checkpoints.drop(str(tmp_path / "one"), (LAST,))
    assert [path.name for path in (tmp_path / "one" / "checkpoints").iterdir()] == ["best"]
    assert checkpoints.taken() == []


def test_in_a_bucket_they_stay_until_they_are_removed(tmp_path: Path) -> None:
    place = trial(f"memory://{tmp_path}", "one", tmp_path)
    checkpoints = Checkpoints()
    checkpoints.drop(place, (LAST,))
    assert stored(place) == {BEST, LAST}
    remove(checkpoints.taken())
    assert stored(place) == {BEST}
    assert checkpoints.taken() == []


def test_checkpoints_that_no_trial_needs_are_listed(tmp_path: Path) -> None:
    root = f"memory://{tmp_path}"
    one, two = (trial(root, name, tmp_path) for name in ("one", "two"))
    assert others(root, {(one, BEST)}) == [(one, LAST), (two, BEST), (two, LAST)]


def test_checkpoints_of_folds_are_listed_by_fold(tmp_path: Path) -> None:
    root = f"memory://{tmp_path}"
    one, two = (trial(root, f"one/fold-{fold}", tmp_path) for fold in range(2))
    assert others(root, {(one, BEST), (two, BEST)}) == [(one, LAST), (two, LAST)]
