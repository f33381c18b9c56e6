"""A stored format as tests see it: a document as raytl writes it, and what reads it.

A reader gets the bytes and a folder to put them in. It goes on as far as raytl does with what it read, so that a value that
passes the schema and breaks the next step is found too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raytl.config.schema import DataConfig, Experiment, ModelConfig
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.run.plain import encode
from raytl.stored import Format

Read = Callable[[bytes, Path], object]
ABC = "0123456789abcdef" * 4
PREPROCESS = Preprocess(32, 36, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
SAMPLES = [Sample(f"red/{n}.jpg", f"/photos/red/{n}.jpg", "red", side, ABC) for n, side in enumerate(("train", "val"))]
EXPERIMENT = Experiment(name="x", data=DataConfig(uri="x"), model=ModelConfig(name="y"))
METRICS = {"val/accuracy": 0.5, "val/log_loss": None}


@dataclass(frozen=True)
class Stored:
    """A stored format by the name of its constant: a `valid` document, and what reads it.

    Errors hold `names`; a format of a cache is `forgiving`: what cannot be read of it is as good as absent.
    """

    name: str
    valid: bytes
    read: Read
    names: str
    forgiving: bool = False


def at(name: str, read: Callable[[Path], object]) -> Read:
    """Return what puts the bytes into the file `name` of a folder, and reads that folder."""

    def reader(content: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(folder)

    return reader


def by_path(name: str, kind: Format[Any]) -> Read:
    """Return what reads a file of a format, and writes its value again."""
    return at(name, lambda folder: encode(plainly(kind.load(folder / name))))


def plainly(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {key: plainly(each) for key, each in value.items()}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def lines(*rows: Any) -> bytes:
    return b"".join(encode(row) + b"\n" for row in rows)
