from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from raytl.metrics.label_context import Presence, dependences, p_of_excess, presence
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


def test_images_of_which_a_label_is_unknown_do_not_count() -> None:
    answers = [split(seed, 0.5) for seed in (0, 1)]
    unknown = np.zeros((600, 3), bool)
    unknown[300:] = True, False, False  # a second site annotates nothing of label 0, and label 1 is rarer there
    doubled = []
    for each in answers:
        rare = each.present & (np.arange(300)[:, None] % 4 == 0)
        present = np.concatenate([each.present, np.where([False, True, True], rare, False)])
        reported = np.concatenate([each.reported, np.where([False, True, True], each.reported, False)])
        doubled.append(Presence(present, reported, unknown))

    def of_label(parts: list[Presence]) -> list[object]:
        return [(each.other, each.kind, each.test) for each in dependences(*parts)[0] if each.label == 0]

    assert of_label(doubled) == of_label(answers) != []
    assert of_label([Presence(each.present, each.reported) for each in doubled]) != of_label(answers)


def test_crowded_images_that_are_harder_are_no_dependence() -> None:
    alarms = 0
    for seed in range(20):
        parts = []
        for number in range(2):
            rng = np.random.default_rng(2 * seed + number)
            present = rng.random((400, 4)) < 0.5
            chance = np.array([0.02, 0.05, 0.15, 0.35, 0.5])[present.sum(axis=1)][:, None]
            parts.append(Presence(present, present ^ (rng.random(present.shape) < chance)))
        alarms += any(each.is_confirmed for each in dependences(*parts)[0])
    assert alarms <= 4, "at most 5 % are expected"


def test_the_p_value_is_near_fishers_exact_test_in_one_stratum_and_adds_up_over_strata() -> None:
    errors, inside = np.arange(200) < 40, np.arange(200) % 5 < 2
    errors[40:50], inside[:20] = True, True
    table = [[int((errors == e) @ (inside == i).astype(int)) for i in (True, False)] for e in (True, False)]
    expected = fisher_exact(table, alternative="greater").pvalue
    one = p_of_excess(errors, inside, np.zeros(200, np.int64))
    assert one == pytest.approx(expected, rel=0.3)
    doubled = p_of_excess(np.tile(errors, 2), np.tile(inside, 2), np.repeat([0, 1], 200))
    assert doubled < one / 10
    assert p_of_excess(errors, np.ones(200, bool), np.zeros(200, np.int64)) == 1.0
