"""Each tick ranks the labels of its training images again, and reads the corrections again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from raytl.data.corrections import Correction, text_of
from raytl.labelling.suspect import SuspectLabel
from raytl.retraining.doubtful import DOUBTFUL
from raytl.retraining.observe import listing_digest
from raytl.retraining.page.tick import tick_page
from raytl.retraining.splits import Memory, SplitSamples
from raytl.retraining.ticks import TICK_FORMAT, new_tick
from tests.retraining.conftest import START, MakeDays


def correction(key: str, label: str) -> Correction:
    return Correction(key, "", label, "me", START.isoformat(), "seen")


def test_a_tick_lists_doubtful_labels_leaves_them_out_and_believes_who_looked(
    make_days: MakeDays, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    settings = {"labels__noise": "leave_out", "labels__relabel": str(tmp_path / "fixes.csv")}
    days = make_days().where(model__weights=str(weights), **settings)
    keys = {sample.key for sample in days.tick(dry_run=True).tick.doubtful}  # type: ignore[union-attr]
    wrong = sorted((days.photos / "blue").glob("*.jpg"))[:3]
    for path in wrong:
        shutil.move(path, days.photos / "red" / f"wrong-{path.name}")
    before = listing_digest(days.experiment)
    tick = days.tick(dry_run=True).tick
    assert tick is not None
    assert tick.changes is not None
    listed = {each.key: each for each in tick.doubtful}
    found = {f"red/wrong-{path.name}" for path in wrong} & listed.keys()
    assert found
    assert not keys & listed.keys() or len(keys) < 3
    assert {listed[key].suggested for key in found} == {"blue"}
    assert tick.changes.left_out[DOUBTFUL] >= len(found)
    (tmp_path / "fixes.csv").write_text(text_of([correction(key, "red") for key in found], with_header=True))
    assert listing_digest(days.experiment) != before
    confirmed = days.tick(dry_run=True).tick
    assert confirmed is not None
    assert not found & {each.key for each in confirmed.doubtful}


def test_the_page_lists_doubtful_labels_and_escapes_them() -> None:
    tick = replace(new_tick(START, "me", None), stage="done", outcome="promote", version=2)
    tick = replace(tick, doubtful=(SuspectLabel("<a>.jpg", "cat", "dog", 0.0123, 0.9),))
    page = tick_page(tick, "toy", (), ())
    assert "&lt;a&gt;.jpg" in page
    assert f"work/{tick.id}/doubtful-labels.csv" in page
    assert TICK_FORMAT.read(json.dumps(tick.to_json()).encode(), "tick") == tick


def test_images_left_out_keep_their_split() -> None:
    memory = Memory({"d": "train"}, {})
    assert SplitSamples((), {"copy": ("a",)}, memory).without(set(), DOUBTFUL).left_out == {"copy": ("a",)}
    assert SplitSamples((), {}, memory).without({"b"}, DOUBTFUL) == SplitSamples((), {DOUBTFUL: ("b",)}, memory)
