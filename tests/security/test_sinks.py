"""Each way by which text leaves the process stars secrets: those of the environment and those of addresses."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.text import Text

from raytl.cli.lines import line
from raytl.cli.tables import facts
from raytl.cli.terminal import Terminal
from raytl.cluster.metrics import EventMeasures
from raytl.config.retrain import NotifyConfig
from raytl.errors import StoreError, first_line
from raytl.events import Message, Recorder, Restarted, TrialChanged
from raytl.registry.record import Move
from raytl.registry.registry import Registry
from raytl.retraining.mirror import mirror
from raytl.retraining.notify import webhook_payload
from raytl.retraining.page.tick import tick_page
from raytl.retraining.ticks import Tick, last_tick, write_tick
from raytl.run import journal
from raytl.run.logs import log_to, logged
from raytl.run.provenance import provenance
from raytl.search.outcome import table
from raytl.search.record import TrialRecord
from raytl.search.worker import failure
from tests.security.test_secrets import MARK, VARIABLES, marked  # noqa: F401 - a fixture


def _printed(show: Callable[[Terminal], None], json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with (tmp_path / "printed").open("w+") as file, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", file)
        patch.setattr("sys.stderr", file)
        show(Terminal.open(json))
        file.seek(0)
        return file.read()


def _logged(text: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RAYTL_LOG", kind)
    with log_to(tmp_path / "raytl.log", "toy"):
        logged(lambda _: None)(Restarted(1, text))
        logging.getLogger("ray").warning("said %s", text)
        try:
            raise ZeroDivisionError(text)
        except ZeroDivisionError:
            logging.getLogger("raytl").exception("failed")
    return (tmp_path / "raytl.log").read_text()


def _tick(text: str) -> Tick:
    return Tick("20261121T060000Z-abcd", "2026-11-21T06:00:00+00:00", "me", "failed", "failure", error=text, version=1)


def _stored(text: str, tmp_path: Path) -> str:
    registry = Registry.open(f"file://{tmp_path}/models")
    write_tick(registry.store, _tick(text))
    read = last_tick(registry.store)
    assert read is not None and read.error.startswith("cannot reach ")
    return "".join(path.read_text() for path in (tmp_path / "models" / "ticks").iterdir())


def _failed_trial(text: str) -> str:
    return failure([], "f", ValueError(text), 1).reason


def _all_trials(text: str) -> str:
    return table([TrialRecord(0, "failed", {}, reason=text)], [])


def _journal(text: str, tmp_path: Path) -> str:
    journal.append(tmp_path / "j.jsonl", {"reason": text, "more": [text]})
    return (tmp_path / "j.jsonl").read_text()


def _command(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.argv", ["raytl", "train", text])
    return json.dumps(provenance(0))


def _mlflow(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    seen: list[object] = []

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            pass

        def __getattr__(self, name: str) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                seen.append((name, args, options))
                if name == "create_run":
                    raise OSError(text)
                return SimpleNamespace(experiment_id="1")

            return call

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Client))
    monkeypatch.setenv("TRACKING", "http://mlflow")
    about = SimpleNamespace(snapshot=text, weights="w", metrics={}, model="m")
    registry: Any = SimpleNamespace(uri=text, record=lambda _: SimpleNamespace(number=1, about=about))
    watcher = Recorder()
    assert mirror(registry, _tick(text), "toy", NotifyConfig(mlflow_env="TRACKING"), watcher) is None
    assert [each for each in seen if isinstance(each, tuple) and each[0] == "create_run"]
    return repr(seen) + repr(watcher.events) + "***"


SINKS: dict[str, Callable[[str, Path, pytest.MonkeyPatch], str]] = {
    "an error": lambda text, *_: str(StoreError(text)),
    "a foreign error's first line": lambda text, *_: first_line(OSError(f"\n{text}\nmore")),
    "a message to the caller": lambda text, *_: Message(text).text,
    "the terminal": lambda text, *rest: _printed(lambda t: t.say(text), False, *rest),
    "a narrow table on the terminal": lambda text, *rest: _printed(
        lambda t: t.show(facts([("a", text)])), False, *rest
    ),
    "an event on the terminal": lambda text, *rest: _printed(lambda t: t.say(line(Restarted(1, text))), False, *rest),
    "text on the terminal": lambda text, *rest: _printed(lambda t: t.show(Text(text)), False, *rest),
    "a job's log": lambda text, *rest: _printed(lambda t: t.text(text), False, *rest),
    "--json": lambda text, *rest: _printed(lambda t: t.result({"a": [{"b": text}]}), True, *rest),
    "the log": lambda text, *rest: _logged(text, "text", *rest),
    "the log in JSON": lambda text, *rest: _logged(text, "json", *rest),
    "a journal": lambda text, path, _: _journal(text, path),
    "provenance": lambda text, _, patch: _command(text, patch),
    "a failed trial": lambda text, *_: _failed_trial(text),
    "the table of trials": lambda text, *_: _all_trials(text),
    "a stored tick": lambda text, path, _: _stored(text, path),
    "a tick's page": lambda text, *_: tick_page(_tick(text), text, [], []),
    "the webhook's body": lambda text, *_: json.dumps(webhook_payload(_tick(text), text, text)),
    "the registry's journal": lambda text, *_: Move(1, "", "me", text, {}, {}).encoded().decode(),
    "MLflow": _mlflow,
}


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
def test_no_sink_gets_a_secret_of_the_environment(
    sink: Callable[[str, Path, pytest.MonkeyPatch], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = ", ".join(os.environ[name] for name in VARIABLES if name != "ANY_OTHER")
    said = sink(f"cannot reach it with {values}", tmp_path, monkeypatch)
    assert "***" in said and MARK not in said


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
def test_no_sink_gets_a_secret_of_an_address(
    sink: Callable[[str, Path, pytest.MonkeyPatch], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"cannot reach https://me:{MARK}@host and s3://k:pa/{MARK}@b, https://h/?X-Goog-Signature={MARK}"
    said = sink(text, tmp_path, monkeypatch)
    assert "***" in said and MARK not in said


def test_the_json_log_is_json_after_stars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = _logged(f'x "https://h/?sig={MARK}" y', "json", tmp_path, monkeypatch)
    assert json.loads(said.splitlines()[1])["message"] == 'said x "https://h/?sig=***" y'


def test_a_value_that_is_the_path_of_a_file_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "credentials.json"
    path.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert str(path) in str(StoreError(f"{path}: no such file"))


def test_metrics_have_numbers_and_no_texts_of_events() -> None:
    measured = EventMeasures()
    secret = f"https://me:{MARK}@host {os.environ['HF_TOKEN']}"
    trial = TrialChanged(1, "failed", 1, 2, 0.5, 0.5, 1, 1, 2, {"optim.name": secret}, secret, secret)
    found = [measure for event in (Restarted(1, secret), Message(secret), trial) for measure in measured.of(event)]
    assert found and MARK not in repr(found)
