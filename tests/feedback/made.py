"""A feedback prefix made by hand: photos, records and labels, as servers and people write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.feedback import photo_key
from raytl.feedback.layout import STAMP
from raytl.feedback.record import Record, encoded_features
from raytl.store.contract import ObjectStore

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def photo(seed: int, color: tuple[int, int, int] = (120, 120, 120), px: int = 48) -> bytes:
    """A PNG photo of blocks that only this seed draws, around a color."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(-90, 90, (6, 6, 1)) + np.array(color) + rng.integers(-10, 10, (6, 6, 3))
    image = Image.fromarray(blocks.clip(0, 255).astype(np.uint8)).resize((px, px), Image.Resampling.NEAREST)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def put_photo(store: ObjectStore, content: bytes, suffix: str = "png") -> str:
    """Store a photo and return its sha256."""
    digest = hashlib.sha256(content).hexdigest()
    store.put_bytes(photo_key(digest, suffix), content)
    return digest


def record(digest: str, **changes: object) -> Record:
    """A record of a photo that is there."""
    base = Record(
        photo=digest,
        suffix="png",
        time=NOW.isoformat(),
        version="1",
        why="random",
        inclusion=0.5,
        label="a",
        confidence=0.9,
        probabilities={"a": 0.9, "b": 0.1},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def put_records(store: ObjectStore, records: Iterable[Record], when: datetime = NOW, host: str = "one") -> str:
    """Store the records of one window and return their key."""
    key = f"records/{when.strftime(STAMP)}-{host}.jsonl"
    store.put_bytes(key, b"".join(each.line() for each in records))
    return key


def put_labels(store: ObjectStore, labels: Mapping[str, str], when: datetime = NOW, token: str = "0" * 8) -> str:
    """Store labels of photos by sha256 and return their key."""
    key = f"labels/{when.strftime(STAMP)}-{token}.json"
    rows = [{"photo": digest, "label": label} for digest, label in labels.items()]
    store.put_bytes(key, json.dumps({"format": 1, "who": "me", "when": when.isoformat(), "labels": rows}).encode())
    return key


def vectors(count: int, width: int = 8, seed: int = 0) -> NDArray[np.float32]:
    """Features of images."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def filled(store: ObjectStore, count: int, margins: Sequence[float] | None = None, seed: int = 0) -> list[Record]:
    """Store `count` photos with a record each, half of them random, and return the records."""
    margins = margins if margins is not None else np.linspace(0.02, 0.98, count).tolist()
    rows = []
    for number, (vector, margin) in enumerate(zip(vectors(count, seed=seed), margins, strict=True)):
        digest = put_photo(store, photo(1000 * seed + number))
        sure = 0.5 + margin / 2
        rows.append(
            record(
                digest,
                why="random" if number % 2 else "uncertain",
                inclusion=0.5 if number % 2 else 0.0,
                confidence=sure,
                probabilities={"a": sure, "b": 1 - sure},
                features=encoded_features(vector),
                time=(NOW + timedelta(seconds=number)).isoformat(),
            )
        )
    put_records(store, rows)
    return rows


def write_csv(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """Write a table of photo and label."""
    path.write_text("photo,label\n" + "".join(f"{photo},{label}\n" for photo, label in rows), encoding="utf-8")
    return path
