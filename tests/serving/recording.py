"""An observer for tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytl.bundle.card import BundleCard


class Recording:
    """An observer that remembers, and may wait or fail."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.photos: list[bytes] = []
        self.features: list[Any] = []
        self.models: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.is_closed = False

    def on_answer(self, photo: bytes, answer: Mapping[str, Any], features: Any, version: str) -> None:
        self.gate.wait(20)
        self.photos.append(photo)
        self.features.append(features)
        if photo == b"fail":
            raise ValueError("disk full")
        self.seen.append(version)

    def on_model(self, folder: Path, card: BundleCard, version: str) -> None:
        self.models.append((folder.name, version))

    def gauges(self) -> Mapping[str, float]:
        return {"raytl_drift": 1.0}

    def close(self) -> None:
        self.is_closed = True
