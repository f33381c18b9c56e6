from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raytl.data.targets import Labels, Target
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.explaining import EXPLAINING

LABELS = ("cat", "dog", "eel", "fox")


def answer(*probabilities: float) -> LabelsAnswer:
    table = np.array(probabilities, np.float32)
    return LabelsAnswer(np.log(table / (1 - table)), np.full(4, 0.5, np.float32))


@pytest.mark.parametrize(
    ("target", "only", "statements"),
    [
        (None, None, [("dog", 0.9, None), ("cat", 0.8, None)]),
        (Labels(("cat", "fox")), None, [("dog", 0.9, False), ("fox", 0.1, False), ("cat", 0.8, True)]),
        (Labels(("cat",), unknown=("dog",)), None, [("dog", 0.9, None), ("cat", 0.8, True)]),
        (Labels(("cat",)), "eel", [("eel", 0.2, True)]),
        (Labels(("eel",)), "eel", [("eel", 0.2, False)]),
    ],
)
def test_each_label_is_a_claim_the_wrong_ones_first(
    target: Target, only: str | None, statements: list[tuple[str, float, bool | None]]
) -> None:
    found = EXPLAINING.statements(answer(0.8, 0.9, 0.2, 0.1), LABELS, target, only)
    assert [(each.name, round(each.confidence, 4), each.correct) for each in found] == statements


def test_without_labels_the_most_probable_one_is_explained() -> None:
    nothing = answer(0.1, 0.2, 0.4, 0.3)
    assert [each.name for each in EXPLAINING.statements(nothing, LABELS, None, None)] == ["eel"]
    assert EXPLAINING.predicted(nothing, LABELS) == ()
    assert EXPLAINING.true(Labels(())) == ()
    assert EXPLAINING.true(None) is None


def test_an_image_is_right_if_all_its_labels_are(tmp_path: Path) -> None:
    (tmp_path / "o").write_text('{"key": "a", "score": 1.0}\n{"key": "b", "score": 0.8}\n')
    assert EXPLAINING.stored(tmp_path / "o") == {"a": True, "b": False}
