"""A sweep's study.log that was damaged or edited is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import RunError
from raytl.search.protocol import EpochScores, TrialResult
from tests.search.test_study import opened


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The journal of a sweep with one trial."""
    study = opened(tmp_path, trials=1)
    suggestion = study.ask()
    assert suggestion is not None
    scores = EpochScores(1, {"val/balanced_accuracy": 0.5})
    result = TrialResult("complete", scores, seconds=1.0, trainable=3, folder="trials/trial-00000-0")
    study.report(suggestion.number, result)
    study.tell(suggestion.number, "complete", result)
    return tmp_path / "study.log"


@pytest.mark.parametrize(
    "content", [b"null\n", b"{}\n", b"[" * 100_000 + b"\n", b'{"op_code": 99}\n', b"\xff\xff\n{}\n"]
)
def test_a_study_that_optuna_cannot_read_is_named(log: Path, content: bytes) -> None:
    log.write_bytes(content + log.read_bytes())
    with pytest.raises(RunError, match=r"study\.log: cannot be read as a study \(.*start over with --new"):
        opened(log.parent, trials=1)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("seconds", "long", "seconds: found the text 'long'; expected a number"),
        ("best", [None], "best.0: found null; expected a number"),
        ("overrides", [], "overrides: found a list of 0; expected an object"),
        ("trainable", -1, "trainable: found -1; expected a number from 0"),
        ("folder", 7, "folder: found 7; expected text"),
    ],
)
def test_an_altered_trial_is_named_with_its_field(log: Path, name: str, value: Any, problem: str) -> None:
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    for row in rows:
        if "trial_id" in row and name in row.get("user_attr", {}):
            row["user_attr"] = {name: value}
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RunError, match=rf"study\.log: trial 0: {problem}"):
        opened(log.parent, trials=1)
