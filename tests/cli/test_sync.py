"""`raytl sync`: pull, refresh, and pin what is there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Raytl
from tests.conftest import MakePhotos


def test_it_names_the_data_and_the_name_pins_it(raytl: Raytl, tiny: Path, make_photos: MakePhotos) -> None:
    folder = make_photos(per_class=6)
    shown = raytl("sync", folder)
    assert shown.code == 0, shown.err
    found = json.loads(raytl("sync", tiny, "--json").out)
    assert found["id"] in shown.out
    pin = f"data.snapshot={found['id']}"
    assert found["id"] in raytl("check", tiny, "--set", pin).out
    next(folder.rglob("*.jpg")).unlink()
    for verb in ("sync", "check", "train"):
        ended = raytl(verb, tiny, "--set", pin)
        assert (ended.code, ended.out) == (2, "")
        assert "1 removed" in ended.err


def test_wrong_arguments_are_reported(raytl: Raytl, tmp_path: Path) -> None:
    ended = raytl("sync", tmp_path / "nowhere")
    assert ended.code == 2
    assert "does not exist" in ended.err
    ended = raytl("sync", tmp_path, "--set", "a.b=1")
    assert (ended.code, "expected storage.*, or an experiment file as the argument" in ended.err) == (2, True)
