from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from PIL import Image

from raytl.config.machine import Machine
from raytl.config.schema import Recipe
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.data.feedback import KEYS, PHOTOS
from raytl.data.manifest import Sample
from raytl.errors import DataError
from raytl.events import ignore
from raytl.exporting.trained_run import TrainedRun
from raytl.models.card import Card
from raytl.run.run_store import RunStore
from raytl.store.local import LocalStore
from tests.feedback.made import put_photo


def test_an_image_that_this_machine_cannot_read_is_one_sentence_with_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "large.png")
    card = cast(Card, SimpleNamespace(preprocess=SimpleNamespace(bit_depth=SIXTEEN_BITS)))
    run = TrainedRun(cast(RunStore, None), cast(Recipe, None), card, Machine(max_pixels=1000))
    with pytest.raises(
        DataError, match=r"large\.png': .*40 x 30.*\. The run was trained with this image; expected a machine"
    ):
        run.pixels(str(tmp_path / "large.png"))


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
