from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raytl.errors import RunError
from raytl.tasks.classification.explaining import EXPLAINING

CLASSES = ("glass", "metal", "paper")
ANSWER = np.log(np.array([0.2, 0.7, 0.1], np.float32))


@pytest.mark.parametrize(
    ("target", "only", "stated"),
    [
        (None, None, (1, "metal", 0.7, None)),
        ("metal", None, (1, "metal", 0.7, True)),
        ("glass", None, (1, "metal", 0.7, False)),
        ("glass", "glass", (0, "glass", 0.2, False)),
        ("metal", "paper", (2, "paper", 0.1, True)),
    ],
)
def test_an_answer_claims_its_class(
    target: str | None, only: str | None, stated: tuple[int, str, float, bool | None]
) -> None:
    (statement,) = EXPLAINING.statements(ANSWER, CLASSES, target, only)
    assert (statement.place, statement.name, round(statement.confidence, 6), statement.correct) == stated
    assert EXPLAINING.predicted(ANSWER, CLASSES) == ("metal",)
    assert EXPLAINING.true(target) == (None if target is None else (target,))


def test_outcomes_say_which_images_were_right(tmp_path: Path) -> None:
    line = '{"key": "%s", "true": "glass", "predicted": "%s", "probability": 0.5}\n'
    (tmp_path / "o").write_text(line % ("a", "glass") + line % ("b", "metal"))
    assert EXPLAINING.stored(tmp_path / "o") == {"a": True, "b": False}
    (tmp_path / "o").write_text("{}\n")
    with pytest.raises(RunError, match="o:1: key: missing"):
        EXPLAINING.stored(tmp_path / "o")
