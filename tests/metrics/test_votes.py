"""Dawid & Skene: simulated sources of known confusion are found again, and their combination beats the majority."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.metrics.votes import MISSING, combined, fitted_sources

Ints = NDArray[np.int64]


def confusion(classes: int, accuracy: float) -> NDArray[np.float64]:
    """Of a source that is right with this probability, and else names each other class equally often."""
    return np.full((classes, classes), (1 - accuracy) / (classes - 1)) + np.eye(classes) * (
        accuracy - (1 - accuracy) / (classes - 1)
    )


def drawn(
    seed: int, confusions: list[NDArray[np.float64]], images: int = 3000, missing: float = 0.0
) -> tuple[Ints, Ints]:
    """Return the true classes `(n,)` and votes `(n, sources)`."""
    rng = np.random.default_rng(seed)
    classes = len(confusions[0])
    truth = rng.integers(0, classes, images)
    votes = np.stack(
        [(rng.random((images, 1)) > each[truth].cumsum(axis=1)[:, :-1]).sum(axis=1) for each in confusions], axis=1
    )
    votes[rng.random(votes.shape) < missing] = MISSING
    return truth, votes


def majority(votes: Ints, classes: int) -> Ints:
    return np.stack([(votes == each).sum(axis=1) for each in range(classes)], axis=1).argmax(axis=1)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_confusions_of_simulated_sources_are_found_again(missing: float) -> None:
    skewed = confusion(3, 0.8)
    skewed[0] = (0.3, 0.6, 0.1)  # takes the first class for the second
    true = [confusion(3, 0.9), confusion(3, 0.7), skewed, confusion(3, 0.6)]
    truth, votes = drawn(0, true, missing=missing)
    sources = fitted_sources(votes, 3)
    assert np.abs(sources.confusions - np.stack(true)).max() < 0.06
    assert sources.accuracies == pytest.approx([0.9, 0.7, (0.3 + 1.6) / 3, 0.6], abs=0.04)
    accuracy = (sources.posteriors(votes).argmax(axis=1) == truth).mean()
    assert accuracy > (majority(votes, 3) == truth).mean() + 0.02


def test_a_source_worse_than_chance_counts_against_what_it_names() -> None:
    truth, votes = drawn(1, [confusion(2, 0.85), confusion(2, 0.8), confusion(2, 0.1), confusion(2, 0.75)])
    sources = fitted_sources(votes, 2)
    assert sources.accuracies[2] == pytest.approx(0.1, abs=0.05)
    assert (combined(sources.posteriors(votes), votes) == truth).mean() > (majority(votes, 2) == truth).mean() + 0.05


def test_a_tie_of_two_equal_sources_is_undecided() -> None:
    votes = np.array([[0, 0], [1, 1], [0, 1], [1, 0]] * 5)
    labels = combined(fitted_sources(votes, 2).posteriors(votes), votes)
    assert labels[:4].tolist() == [0, 1, MISSING, MISSING]


def test_known_classes_stay_and_show_how_good_the_sources_are() -> None:
    truth, votes = drawn(
        2, [confusion(2, 0.1), confusion(2, 0.2)], images=400
    )  # both wrong, as they agree with each other
    blind, informed = fitted_sources(votes, 2), fitted_sources(votes, 2, np.where(np.arange(400) < 40, truth, MISSING))
    assert blind.accuracies.min() > 0.7
    assert informed.accuracies.max() < 0.3


def test_an_image_without_votes_gets_the_prior_and_one_vote_is_enough() -> None:
    _, votes = drawn(3, [confusion(3, 0.9), confusion(3, 0.8)], images=300)
    sources = fitted_sources(votes, 3)
    none, one = sources.posteriors(np.array([[MISSING, MISSING], [2, MISSING]]))
    assert none == pytest.approx(sources.prior)
    assert one.argmax() == 2


def test_weak_sources_are_not_believed_more_than_their_majority() -> None:
    truth, votes = drawn(4, [confusion(6, 0.45)] * 3, images=1800)
    sources = fitted_sources(votes, 6)
    labels = combined(sources.posteriors(votes), votes)
    is_kept = labels != MISSING
    assert np.abs(sources.accuracies - 0.45).max() < 0.05
    assert 0.5 < is_kept.mean() < 0.7
    assert (labels == truth)[is_kept].mean() > 0.65


def test_an_image_is_left_out_only_if_its_sources_disagree() -> None:
    posteriors = np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1]])
    assert combined(posteriors, np.array([[0, MISSING], [0, 1], [0, 1]])).tolist() == [0, MISSING, 0]
