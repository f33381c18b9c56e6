from __future__ import annotations

import numpy as np

from raytl.advice.curve import FRACTIONS, REPEATS, probe_curve
from raytl.events import Recorder, Work
from tests.advice.conftest import CLASSES, blobs


def test_the_error_falls_with_more_images() -> None:
    curve = probe_curve(blobs(1.5), CLASSES, Recorder())
    assert curve.errors[0] > curve.errors[-1]
    assert curve.images[-1] == 48  # four of five folds
    assert list(curve.images) == sorted(set(curve.images))


def test_progress_ends_at_its_total() -> None:
    recorder = Recorder()
    probe_curve(blobs(3.0), CLASSES, recorder)
    last = recorder.events[-1]
    assert last == Work("learning curve", 5 * REPEATS[0][1], 5 * REPEATS[0][1], "fits")


def test_classes_of_two_images_have_too_few_sizes() -> None:
    curve = probe_curve(blobs(3.0)[::10], CLASSES[::10], Recorder())
    assert curve.halving is None
    assert curve.why == "a class has too few images for three sizes of the training split"


def test_it_is_deterministic_and_fractions_end_with_all() -> None:
    assert probe_curve(blobs(1.0), CLASSES, Recorder()) == probe_curve(blobs(1.0), CLASSES, Recorder())
    assert FRACTIONS[0] == 1 / 8
    assert FRACTIONS[-1] == 1
    assert np.all(np.diff(FRACTIONS) > 0)
