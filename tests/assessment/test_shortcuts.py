from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Options
from raytl.assessment.shortcuts import SECTION
from raytl.data.ablations import ABLATIONS
from raytl.data.manifest import Sample
from tests.assessment.conftest import MakeEvidence


def _squares(make: MakeEvidence) -> Evidence:
    """Return evidence whose training images of class c1 have a white square in the lower right corner, nine of ten."""
    evidence = make(train=200, val=60)
    train = evidence.train
    assert train is not None
    thumbnails = train.thumbnails.copy()
    own = np.flatnonzero(train.targets == 1)
    thumbnails[own[: int(0.9 * len(own)), None, None], np.arange(28, 32)[:, None], np.arange(28, 32)] = 255
    return replace(evidence, train=replace(train, thumbnails=thumbnails))


class _Corner:
    """A model that answers c1 where the corner is white."""

    def views(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        views = np.random.default_rng(0).integers(0, 150, (len(samples), 16, 16, 3)).astype(np.uint8)
        for view, sample in zip(views, samples, strict=True):
            if sample.label == "c1" and sample.split == "train":
                view[14:, 14:] = 255
        return views

    def probabilities(self, views: NDArray[np.uint8]) -> NDArray[np.float64]:
        white = views[:, 14:, 14:].mean(axis=(1, 2, 3)) > 240
        return np.stack([np.where(white, 0.05, 0.9), np.where(white, 0.9, 0.05), np.full(len(views), 0.05)], axis=1)


def test_a_square_is_named_at_its_cell_shown_and_confirmed_by_transplanting_it(make_evidence: MakeEvidence) -> None:
    result = SECTION(_squares(make_evidence), Options(model=_Corner))
    (found,) = result.json["shortcuts"]
    assert found["class"] == "c1" and found["cell"] == (7, 7)
    assert "row 8, column 8" in result.sentences[0] and "The model uses it" in result.sentences[0]
    assert result.figures[0].draw(7.0).axes
    assert set(result.json["accuracy_without"]) == {
        "all",
        *ABLATIONS,
        "equal brightness, color and contrast of classes",
    }


def test_without_the_model_the_square_is_named_and_nothing_is_ablated(make_evidence: MakeEvidence) -> None:
    result = SECTION(_squares(make_evidence), Options())
    assert "Whether the model uses it was not measured" in result.sentences[0]
    assert not result.tables and result.json["accuracy_without"] == {}


def test_clean_images_raise_no_alarm(make_evidence: MakeEvidence) -> None:
    result = SECTION(make_evidence(train=200), Options())
    assert result.json["shortcuts"] == [] and "No class is given away" in result.sentences[0]


def test_a_split_without_thumbnails_is_not_searched(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence(val=50)
    bare = replace(evidence.val, thumbnails=np.zeros((50, 0, 0, 3), np.uint8))
    assert SECTION(replace(evidence, val=bare), Options()).sentences[0].startswith("Not measured")
