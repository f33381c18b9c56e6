"""A run's log: lines for people, or objects for programs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import ConfigError
from raytl.events import EpochEnded, Message, Recorder, Step, TrialChanged, Work
from raytl.run.logs import log_to, logged

EPOCH = EpochEnded(1, 2, {"val/accuracy": 0.5, "train/loss": float("nan")}, True, 1)
TRIAL = TrialChanged(7, "failed", 1, 2, None, None, None, 1, 4, {"optim.lr": 0.1}, "none", "a\nb")
STEP = Step(1, 2, 3, 4, 0.5, 100.0, {}, "head")


def written(path: Path, *events: Any) -> list[str]:
    heard = Recorder()
    with log_to(path, "tiny"):
        tell = logged(heard)
        for event in events:
            tell(event)
        logging.getLogger("ray").warning("a worker died at %s", "mysql://me:pass@host")
    assert heard.events == list(events)
    return path.read_text().splitlines()


def test_lines_are_for_people_by_default(tmp_path: Path) -> None:
    lines = written(tmp_path / "x.log", Message("hello"), STEP, Work("x", 1, 2), EPOCH, TRIAL)
    assert len(lines) == 4, "steps and work are left out"
    assert "INFO raytl: Message(text='hello'" in lines[0]
    assert lines[3].endswith("WARNING ray: a worker died at mysql://me:***@host")


def test_with_json_each_line_is_an_object_with_run_trial_and_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_LOG", "json")
    records = [json.loads(line) for line in written(tmp_path / "x.log", Message("hello"), STEP, EPOCH, TRIAL)]
    assert [(each["run"], each["trial"], each["rank"]) for each in records] == [
        ("tiny", None, None),
        ("tiny", None, 0),
        ("tiny", 7, None),
        ("tiny", None, None),
    ]
    assert [each.get("event") for each in records] == ["Message", "EpochEnded", "TrialChanged", None]
    assert records[0]["message"] == "hello"
    assert records[1]["fields"]["metrics"] == {"val/accuracy": 0.5, "train/loss": None}
    assert records[2]["fields"]["overrides"] == {"optim.lr": 0.1}
    assert (records[3]["level"], records[3]["logger"]) == ("warning", "ray")
    assert "me:***@host" in records[3]["message"]
    assert all(each["time"].endswith("+00:00") for each in records)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_an_event_stays_on_one_line_and_steers_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_LOG", kind)
    lines = written(tmp_path / "x.log", Message("a\n2026 ERROR forged\x1b[2J"))
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)


def test_an_error_keeps_its_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_LOG", "json")
    with log_to(tmp_path / "x.log", "tiny"):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            logging.getLogger("ray").exception("it broke")
    assert "ZeroDivisionError" in json.loads((tmp_path / "x.log").read_text())["traceback"]


def test_another_kind_of_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_LOG", "xml")
    with pytest.raises(ConfigError, match="RAYTL_LOG: found 'xml', expected text or json"), log_to(tmp_path / "x", "r"):
        pass
    assert not (tmp_path / "x").exists()
