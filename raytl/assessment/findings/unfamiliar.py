"""Section: does a model with findings know what it does not know? The distance of an image to the training images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.section import Figure, Options, SectionResult
from raytl.assessment.sheets import sheet
from raytl.assessment.texts import bounds, percent
from raytl.assessment.unfamiliar import ALPHA, MIN_IMAGES, TITLE
from raytl.metrics.conformal import set_cut
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.grouped import fraction_of
from raytl.metrics.intervals import RESAMPLES, Interval
from raytl.metrics.unfamiliar import knn_distance, neighbors

_DRAWS_AT_ONCE = 2_000_000


class FindingUnfamiliarSection:
    """See `raytl.assessment.section.Section`."""

    name = "unfamiliar"
    needs_train = True

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the distance from which an image is unfamiliar, and how good the answers to such images are."""
        train, val, test = evidence.train, evidence.val, evidence.test
        if train is None:
            return SectionResult(TITLE, ("Not measured with --quick: it compares images with the train split.",))
        if not all(split.features.shape[1] for split in (train, val, test)):
            return SectionResult(TITLE, ("Not measured: the evaluation stored no features of this model's images.",))
        if len(val) < MIN_IMAGES:
            text = f"Not measured: it needs {MIN_IMAGES} validation images, and there are {len(val)}."
            return SectionResult(TITLE, (text,))
        k = neighbors(len(train))
        familiar, seen = (knn_distance(split.features, train.features, k) for split in (val, test))
        limit = set_cut(familiar, ALPHA)
        flagged, score = seen > limit, test.findings.score
        units = test.sampling_units(np.arange(len(test)))
        alarms, loss = fraction_of(flagged, test.sampling_groups), _loss(score, flagged, units, options.seed)
        return SectionResult(
            title=TITLE,
            sentences=(
                f"An image is unfamiliar if its distance to its training neighbor number {k} is above {limit:.3f}, which "
                f"{percent(ALPHA)} at most of images like those of validation exceed. On test it flags {bounds(alarms)}.",
                *_sentences(score, flagged, loss, evidence.kind.score),
            ),
            figures=tuple(_figures(evidence, seen, flagged)),
            json={
                "neighbors": k,
                "distance": limit,
                "test_flagged": [alarms.value, alarms.low, alarms.high],
                "score": {"flagged": _mean(score[flagged]), "others": _mean(score[~flagged])},
                "loss": None if loss is None else [loss.value, loss.low, loss.high],
            },
        )


SECTION = FindingUnfamiliarSection()


def _loss(score: Floats, flagged: NDArray[np.bool_], units: Ints, seed: int) -> Interval | None:
    """Return how much lower the mean score of flagged images is, with its 95 % bootstrap interval over the `units (n,)`, images or
    groups; None without two of both kinds."""
    parts = [(score[rows], np.unique(units[rows], return_inverse=True)[1]) for rows in (~flagged, flagged)]
    if min(len(np.unique(owners)) for _, owners in parts) < 2:
        return None
    draw = np.random.default_rng(seed)
    others, own = (_resampled_means(*part, draw) for part in parts)
    low, high = np.quantile(others - own, (0.025, 0.975))
    return Interval(float(parts[0][0].mean() - parts[1][0].mean()), float(low), float(high))


def _resampled_means(values: Floats, owners: Ints, draw: np.random.Generator) -> Floats:
    """Return the mean of each resample of the `owners (n,)` of values, `(RESAMPLES,)`, computed in blocks that fit in memory."""
    total, images = np.bincount(owners, values), np.bincount(owners)
    count, step = len(total), max(1, _DRAWS_AT_ONCE // len(total))
    blocks = (draw.integers(0, count, (min(step, RESAMPLES - start), count)) for start in range(0, RESAMPLES, step))
    return np.concatenate([total[each].sum(axis=1) / images[each].sum(axis=1) for each in blocks])


def _sentences(score: Floats, flagged: NDArray[np.bool_], loss: Interval | None, name: str) -> Iterator[str]:
    if loss is None:
        yield f"Too few test images are flagged to compare the {name} of flagged and other images."
        return
    yield (
        f"The flagged test images have a mean {name} of {percent(_mean(score[flagged]))}, the others of "
        f"{percent(_mean(score[~flagged]))} (difference {-100 * loss.value:+.1f} points, {-100 * loss.high:+.1f} to "
        f"{-100 * loss.low:+.1f})."
    )
    yield (
        "Look at what is flagged before its answers are used."
        if loss.low > 0
        else "A flag is not shown to mean a worse answer here; it may still mark images of another kind."
    )


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _figures(evidence: FindingEvidence, seen: Floats, flagged: NDArray[np.bool_]) -> Iterator[Figure]:
    """Yield a sheet of the flagged test images, the least familiar first."""
    test = evidence.test
    places = [i for i in np.argsort(-seen, kind="stable").tolist() if flagged[i]]
    if places and test.thumbnails.shape[1]:
        yield Figure(
            "unfamiliar-images",
            "The least familiar test images",
            f"Images as the network sees them, with the distance and the {evidence.kind.score} of the answer.",
            sheet(test.thumbnails[places], [f"{seen[i]:.3f}\n{percent(test.findings.score[i])}" for i in places]),
        )
