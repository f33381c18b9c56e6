from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from raytl.config.machine import Machine
from raytl.config.schema import Recipe
from raytl.data.feedback import KEYS, PHOTOS
from raytl.data.manifest import Sample
from raytl.events import ignore
from raytl.exporting.trained_run import TrainedRun
from raytl.models.card import Card
from raytl.run.run_store import RunStore
from raytl.store.local import LocalStore
from tests.feedback.made import put_photo


def test_images_of_feedback_that_moved_are_located_in_their_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "feedback")
    digest = put_photo(store, b"pixels")
    data = SimpleNamespace(uri=str(tmp_path), zip_encoding=None, feedback=store.uri)
    gone = Sample(f"{KEYS}{digest}.png", "/another/node/x.png", "a", "train", digest)
    monkeypatch.setattr("raytl.exporting.trained_run.recorded", lambda *_: (gone,))
    run = TrainedRun(
        cast(RunStore, SimpleNamespace(folder=None)),
        cast(Recipe, SimpleNamespace(data=data)),
        cast(Card, None),
        Machine(),
    )
    assert [sample.path for sample in run.present("train", ignore)] == [f"{store.uri}/{PHOTOS}{digest}.png"]
