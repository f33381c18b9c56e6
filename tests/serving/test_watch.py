"""An alias moves while requests come: none fails, and a version that cannot be served leaves the old one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raytl.registry.bundles import put_bundle
from raytl.registry.record import About
from raytl.registry.registry import Registry
from raytl.serving.live import LiveModel, opened
from raytl.serving.options import MAX_PIXELS, ServeOptions
from raytl.serving.running import running
from raytl.serving.source import RegistrySource, source_of
from raytl.serving.watch import follow_once
from raytl.store.s3_settings import ENVIRONMENT
from tests.serving.bundles import photo, write_bundle
from tests.serving.conftest import Client
from tests.serving.test_server import listening

Publish = Callable[..., int]


def about() -> About:
    return About(
        model="m", classes=("a",), preprocess={}, weights="w", snapshot="s", evaluation="e", metrics={}, parent=None, run="r",
        tick="", git=None, who="w", created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry on this machine."""
    return Registry.open(str(tmp_path / "models" / "trash"))


@pytest.fixture
def publish(registry: Registry, tmp_path: Path) -> Publish:
    """Publishes a version with bundles of these names, and makes it champion."""

    def made(*names: str, classes: tuple[str, ...] = ("red", "green", "blue")) -> int:
        folder = tmp_path / f"run-{len(registry.numbers())}"
        folder.mkdir()
        (folder / "notes.txt").write_text(str(names))
        for name in names:
            write_bundle(folder / "bundles" / name, classes)
        record = registry.publish(folder, about())
        registry.promote(record.number, registry.state(), "test", "test")
        return record.number

    return made


def follow(live: LiveModel, source: RegistrySource) -> bool:
    return follow_once(live, source, lambda folder, version: opened(folder, version, 1, MAX_PIXELS, ENVIRONMENT))


def test_an_alias_that_moves_under_load_fails_no_request(registry: Registry, publish: Publish) -> None:
    publish("onnx", classes=("one", "x", "y"))
    options = ServeOptions(f"models:{registry.uri}@champion", workers=2)
    source = source_of(options)
    assert isinstance(source, RegistrySource)
    with running(options) as service, listening(service) as on_socket:
        statuses, labels, is_done = list[int](), list[tuple[str, str]](), threading.Event()

        def load() -> None:
            while not is_done.is_set():
                status, body = on_socket.ask("POST", "/predict", photo())
                statuses.append(status)
                answer = json.loads(body)
                labels.append((answer["version"], answer["label"]))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round_ in range(2, 6):
            number = publish("onnx", classes=("two", "x", "y") if round_ % 2 == 0 else ("one", "x", "y"))
            assert follow(service.live, source)
            assert service.live.current.version == str(number)
            before = len(labels)
            while len(labels) < before + 40:
                threading.Event().wait(0.005)
        is_done.set()
        for thread in threads:
            thread.join(20)
    assert set(statuses) == {200}
    assert len(statuses) >= 160
    expected = {("1", "one"), ("2", "two"), ("3", "one"), ("4", "two"), ("5", "one")}
    assert set(labels) == expected, "each answer is by the version that it names"


def test_the_bundle_of_the_version_before_leaves_the_cache(registry: Registry, publish: Publish) -> None:
    publish("onnx")
    options = ServeOptions(f"models:{registry.uri}@champion")
    source = source_of(options)
    assert isinstance(source, RegistrySource)
    with running(options) as service:
        before = service.live.current
        publish("onnx", classes=("other", "x", "y"))
        assert before.bundle.model.folder.is_dir()
        assert follow(service.live, source)
        assert not before.bundle.model.folder.exists()
        assert service.live.current.bundle.model.folder.is_dir()
        pixels = np.zeros((8, 8, 3), np.uint8)
        assert before.answered(pixels).answer["version"] == "1"
        assert service.live.current.answered(pixels).answer["version"] == "2"


def test_a_version_without_a_bundle_keeps_the_old_one_and_says_so(registry: Registry, publish: Publish) -> None:
    publish("onnx")
    options = ServeOptions(f"models:{registry.uri}@champion")
    source = source_of(options)
    assert isinstance(source, RegistrySource)
    with running(options) as service:
        client = Client(service)
        publish()
        assert not follow(service.live, source)
        assert "version 2: no bundle" in client.get("/readyz").json()["trouble"]
        assert "raytl_stale 1" in client.get("/metrics").text
        assert client.post("/predict", photo()).json()["version"] == "1"
        publish("onnx")
        assert follow(service.live, source)
        assert client.get("/readyz").json() == {"ready": True, "version": "3"}
        assert "raytl_swaps 1" in client.get("/metrics").text and "raytl_swap_failures 1" in client.get("/metrics").text


def test_a_bundle_that_is_added_to_a_version_later_is_served(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    publish("onnx")
    options = ServeOptions(f"models:{registry.uri}@champion")
    source = source_of(options)
    assert isinstance(source, RegistrySource)
    with running(options) as service:
        number = publish()
        assert not follow(service.live, source)
        added = write_bundle(tmp_path / "later", ("later", "x", "y"))
        put_bundle(registry, registry.record(number), added, "int8")
        assert follow(service.live, source)
        assert Client(service).post("/predict", photo()).json()["label"] == "later"


@pytest.mark.parametrize("file", ["model.onnx", "model.json", "reference.npy"])
def test_a_damaged_version_keeps_the_old_one(registry: Registry, publish: Publish, tmp_path: Path, file: str) -> None:
    publish("onnx")
    options = ServeOptions(f"models:{registry.uri}@champion")
    source = source_of(options)
    assert isinstance(source, RegistrySource)
    with running(options) as service:
        number = publish("onnx", classes=("other", "x", "y"))
        (damaged,) = Path(registry.uri).glob(f"files/{registry.record(number).token}/bundles/onnx/{file}")
        damaged.write_bytes(damaged.read_bytes()[:-7] + b"changed")
        assert not follow(service.live, source)
        assert service.live.current.version == "1"
        assert service.live.trouble


def test_an_unreachable_registry_keeps_the_model(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    publish("onnx")
    options = ServeOptions(f"models:{registry.uri}@champion")
    source = source_of(options)
    assert isinstance(source, RegistrySource)
    with running(options) as service:
        (tmp_path / "models").rename(tmp_path / "away")
        assert not follow(service.live, source)
        assert "no alias" in service.live.trouble
        (tmp_path / "away").rename(tmp_path / "models")
        assert not follow(service.live, source)
        assert not service.live.trouble


def test_the_watcher_follows_by_itself(registry: Registry, publish: Publish) -> None:
    publish("onnx")
    with running(ServeOptions(f"models:{registry.uri}@champion", poll_s=0.05)) as service:
        publish("onnx")
        for _ in range(400):
            if service.live.current.version == "2":
                break
            threading.Event().wait(0.05)
        assert service.live.current.version == "2"
