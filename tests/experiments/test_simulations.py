from __future__ import annotations

import numpy as np
import pytest

from experiments.simulations import __main__ as table
from experiments.simulations import drawn, shortcuts
from experiments.simulations.photos import Photos, thumbnails, tinted
from experiments.simulations.suspects import flipped


def test_planted_squares_are_counted_where_they_are_named_and_clean_photos_raise_no_alarm() -> None:
    sets = [Photos("drawn", *drawn.photos(0))]
    assert shortcuts.squares(sets, 2, 0.125) == shortcuts.Planted(0.125, planted=2, named=2, wrong=0)
    assert shortcuts.alarms(sets, 1) == []


def test_the_thumbnails_of_views_of_that_size_are_the_views() -> None:
    views, _ = drawn.photos(0, images=3)
    np.testing.assert_array_equal(thumbnails(views), views)


def test_flipped_labels_differ_from_the_true_ones_and_no_others_do() -> None:
    targets = np.arange(200) % 4
    given, places = flipped(targets, 0)
    assert sorted(places) == np.flatnonzero(given != targets).tolist() and len(places) == 10


def test_a_tint_is_the_same_for_all_photos_of_a_site() -> None:
    views = np.full((3, 2, 2, 3), 100, np.uint8)
    changed = tinted(views, np.array([0, 1, 1]), 0.3, 0)
    assert (changed[1] == changed[2]).all() and (changed[0] != changed[1]).any()
    np.testing.assert_array_equal(tinted(views, np.array([0, 1, 1]), 0.0, 0), views)


def test_photos_without_weights_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simulations", "--data", "data"])
    with pytest.raises(SystemExit, match="2"):
        table.main()
    assert "--data: found no --weights" in capsys.readouterr().err
