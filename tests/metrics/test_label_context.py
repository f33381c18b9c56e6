from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from raytl.metrics.label_context import Presence, dependences, presence
from raytl.metrics.slices import Rate, p_of_rate
from tests.tasks.multilabel.test_findings import made


def split(seed: int, lost: float = 0.0, images: int = 300) -> Presence:
    """Labels at random, of which 10 % are answered wrongly; of label 0 also the fraction `lost` where label 1 is absent."""
    rng = np.random.default_rng(seed)
    present = rng.random((images, 3)) < 0.5
    reported = present ^ (rng.random(present.shape) < 0.1)
    reported[:, 0] &= present[:, 1] | (rng.random(images) >= lost)
    return Presence(present, reported)


def test_a_label_that_is_missed_without_another_is_named_and_confirmed() -> None:
    listed, compared = dependences(split(0, 0.5), split(1, 0.5))
    assert compared == 12, "two errors of each ordered pair"
    assert (listed[0].label, listed[0].other, listed[0].kind) == (0, 1, "missed without") and listed[0].is_confirmed
    assert listed[0].test.error_rate > 0.4 > 0.2 > listed[0].test.other_error_rate
    assert not any(each.is_confirmed for each in listed[1:] if each.label)


def test_labels_that_are_independent_are_rarely_confirmed() -> None:
    alarms = [any(each.is_confirmed for each in dependences(split(s), split(s + 500))[0]) for s in range(40)]
    assert sum(alarms) <= 5, "at most 5 % are expected"


def test_few_images_are_not_compared() -> None:
    assert dependences(split(0, images=30), split(1)) == ((), 0)


def test_presence_and_reports_are_those_of_the_findings() -> None:
    result = presence(made(), 3)
    assert result.present.tolist() == [[True, False, False], [False, True, True], [False, False, False]]
    assert result.reported.tolist() == [[True, True, False], [False, False, False], [False, False, True]]


def test_the_p_value_of_a_rate_is_that_of_fishers_exact_test() -> None:
    expected = fisher_exact([[9, 21], [4, 36]], alternative="greater").pvalue
    assert p_of_rate(Rate(30, 9, 40, 4)) == pytest.approx(expected)
