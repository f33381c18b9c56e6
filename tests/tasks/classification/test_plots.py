from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.tasks.classification.plots import Tile, contact_sheet
from tests.run.test_plots import ODD


def _tile(name: str, size: tuple[int, int] = (40, 60)) -> Tile:
    rng = np.random.default_rng(len(name))
    return Tile(rng.integers(0, 255, (*size, 3)).astype(np.uint8), name, "paper", 0.97, f"some/where/{name}.jpg")


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


@pytest.mark.parametrize("count", [0, 5, *(pytest.param(count, marks=pytest.mark.thorough) for count in (1, 16))])
def test_a_contact_sheet_is_drawn_for_any_number_of_mistakes(count: int, tmp_path: Path) -> None:
    contact_sheet([_tile(f"glass{each}", (40 + each, 60)) for each in range(count)], tmp_path / "worst.png")
    assert _opened(tmp_path / "worst.png").width > 400


def test_odd_class_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    contact_sheet([_tile(name) for name in ODD], tmp_path / "worst.png")
    assert _opened(tmp_path / "worst.png").width > 400


def test_nothing_but_the_picture_is_left_behind(tmp_path: Path) -> None:
    contact_sheet([], tmp_path / "worst.png")
    assert [path.name for path in tmp_path.iterdir()] == ["worst.png"]
