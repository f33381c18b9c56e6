"""Versions are mirrored to MLflow if it is installed; otherwise a warning."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from raytl.config.retrain import NotifyConfig
from raytl.events import Message, Recorder
from raytl.registry.registry import Registry
from raytl.retraining.mirror import mirror
from raytl.retraining.ticks import Tick
from tests.registry.conftest import about

TICK = Tick("20261121T060000Z-abcd", "2026-11-21T06:00:00+00:00", "me", "done", "promote", champion=None, version=1)
CONFIG = NotifyConfig(mlflow_env="TRACKING")
there = importlib.util.find_spec("mlflow") is not None


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry.open(f"memory://{tmp_path}/models")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "experiment.yaml").write_text("name: x\n")
    found.publish(tmp_path / "made", about(metrics={"accuracy": 0.9, "log_loss": None}))
    found.promote(1, found.state(), "me", "")
    return found


@pytest.mark.skipif(not there, reason="MLflow is not installed: pip install 'raytl[mlflow]' sqlalchemy alembic")
@pytest.mark.filterwarnings("default")
def test_a_version_is_a_run_and_a_registered_version_with_its_aliases(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("TRACKING", uri)
    watcher = Recorder()
    run = mirror(registry, TICK, "toy", CONFIG, watcher)
    assert watcher.events == []
    client: Any = MlflowClient(tracking_uri=uri)
    assert client.get_run(run).data.metrics == {"accuracy": 0.9}
    assert [each.path for each in client.list_artifacts(run, "version")] == ["version/experiment.yaml"]
    version = client.get_model_version_by_alias("toy", "champion")
    assert version.tags == {"raytl.version": "1"}


@pytest.mark.skipif(there, reason="MLflow is installed")
def test_a_missing_mlflow_is_a_warning(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKING", "sqlite:///x.db")
    watcher = Recorder()
    assert mirror(registry, TICK, "toy", CONFIG, watcher) is None
    [event] = watcher.events
    assert isinstance(event, Message)
    assert "pip install 'raytl[mlflow]'" in event.text


def test_nothing_is_mirrored_where_nobody_asks(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Recorder()
    assert mirror(registry, TICK, "toy", NotifyConfig(), watcher) is None
    assert watcher.events == []
    monkeypatch.delenv("TRACKING", raising=False)
    assert mirror(registry, TICK, "toy", CONFIG, watcher) is None
    assert [event.text for event in watcher.events if isinstance(event, Message)] == [
        "not mirrored: TRACKING is not set; expected a tracking URI"
    ]
