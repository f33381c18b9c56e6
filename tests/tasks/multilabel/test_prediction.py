from __future__ import annotations

import numpy as np
import pytest

from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.prediction import MultilabelPrediction, prediction_of


def test_labels_are_ranked_by_probability() -> None:
    prediction = MultilabelPrediction({"a": 0.25, "b": 0.75, "c": 0.5}, ("b", "c"), "x.jpg")
    assert prediction.ranked == (("b", 0.75), ("c", 0.5), ("a", 0.25))
    assert repr(prediction) == "MultilabelPrediction(b 0.750, c 0.500, photo='x.jpg')"


def test_an_image_may_have_no_label_or_many() -> None:
    assert repr(MultilabelPrediction({"a": 0.25}, ())) == "MultilabelPrediction(no labels)"
    assert repr(MultilabelPrediction(dict.fromkeys("abcdefg", 0.5), tuple("abcdefg"))).endswith("e 0.500, and 2 more)")


def test_labels_that_reach_their_threshold_are_present() -> None:
    answer = LabelsAnswer(np.array([0, 1, -1], np.float32), np.array([0.5, 0.75, 0.25], np.float32))
    prediction = prediction_of(answer, ("a", "b", "c"), "x.jpg")
    assert prediction.labels == ("a", "c")
    assert prediction.probabilities == pytest.approx({"a": 0.5, "b": 0.7311, "c": 0.2689}, abs=1e-4)
