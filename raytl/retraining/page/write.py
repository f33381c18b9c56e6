"""Store the pages in the registry: one per tick that did something, and an index of all."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from PIL import Image

from raytl.data.bit_depth import BitDepth
from raytl.data.decode import BadImage, decode, read
from raytl.data.target_text import describe
from raytl.data.targets import Target
from raytl.errors import NotFound, RegistryError, StoreError
from raytl.registry.registry import Registry
from raytl.retraining.compare import EVALUATED
from raytl.retraining.page.registry import registry_page
from raytl.retraining.page.tick import Flip, tick_page
from raytl.retraining.ticks import WORK, Tick, all_ticks
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import FilePath, FormerKey, Name, Score

INDEX = "index.html"
_MAX_TILES = 8
_TILE_PX = 264
DEPTH_FORMAT = Format[BitDepth](BitDepth, "a bit depth", "Restore the version's record.", RegistryError)


def write_pages(registry: Registry, tick: Tick, name: str, max_pixels: int, s3: S3Settings = ENVIRONMENT) -> str:
    """Store the page of `tick` and the index; return the key of the tick's page."""
    rows = _rows(registry, tick)
    gained, lost = ([row for row in rows if row.changed == sign] for sign in (1, -1))
    depth = _depth(registry, tick.version)
    text = tick_page(tick, name, *(_flips(part, max_pixels, depth, s3) for part in (gained, lost)))
    key = f"pages/{tick.id}.html"
    retried(lambda: registry.store.put_bytes(key, text.encode("utf-8", "backslashreplace")))
    write_index(registry, name)
    return key


def write_index(registry: Registry, name: str) -> None:
    """Store the index page."""
    text = registry_page(
        name, registry.records(), registry.state().aliases, registry.history(), all_ticks(registry.store)
    )
    retried(lambda: registry.store.put_bytes(INDEX, text.encode("utf-8", "backslashreplace")))


@dataclass(frozen=True, slots=True)
class _Row:
    """The predictions of both models for an evaluation image."""

    key: str
    path: FilePath
    split: str | None
    digest: Name
    champion: Name | None
    challenger: Name | None
    confidence: Score
    target: Annotated[Target, FormerKey("label")]
    change: Literal[-1, 0, 1] | None = None

    @property
    def changed(self) -> int:
        """1 if only the challenger has the image right, -1 if only the champion; raytl 0.1.0 stored classes alone."""
        if self.change is not None or self.champion is None:
            return self.change or 0
        return (self.challenger == self.target) - (self.champion == self.target)


ROW_FORMAT = Format[_Row](
    _Row,
    "predictions for an image",
    "The object was damaged or edited: delete it, and the page is written without these images.",
    RegistryError,
    max_bytes=1 << 20,
)


def _rows(registry: Registry, tick: Tick) -> list[_Row]:
    if tick.comparison is None or tick.comparison.paired is None:
        return []
    key = f"{WORK}{tick.id}/{EVALUATED}"
    try:
        content = retried(lambda: registry.store.get_bytes(key))
    except NotFound:
        return []
    return list(ROW_FORMAT.lines(content, f"{registry.uri}/{key}"))


def _depth(registry: Registry, version: int | None) -> BitDepth:
    """Return the bit depth of the images that the version was trained on."""
    if version is None:
        return BitDepth()
    stored = registry.record(version).about.preprocess.get("bit_depth", {})
    return DEPTH_FORMAT.typed(stored, f"{registry.uri}: version {version}: preprocess.bit_depth")


def _flips(rows: Sequence[_Row], max_pixels: int, depth: BitDepth, s3: S3Settings = ENVIRONMENT) -> list[Flip]:
    """Return the images on which the challenger is most confident, with their pictures."""
    best = sorted(rows, key=lambda row: -row.confidence)[:_MAX_TILES]
    return [
        Flip(
            row.key,
            describe(row.target),
            row.champion or "",
            row.challenger or "",
            _picture(row.path, row.digest, max_pixels, depth, s3),
        )
        for row in best
    ]


def _picture(path: str, digest: str, max_pixels: int, depth: BitDepth, s3: S3Settings = ENVIRONMENT) -> str:
    """Return the image at `path` as a data: URI; empty if the file does not have the `digest` that was compared.

    Rows come from the registry: without the digest, an edited row could publish any photo of this machine.
    """
    try:
        content = read(path, max_pixels, s3)
        if hashlib.sha256(content).hexdigest() != digest:
            return ""
        image = decode(content, max_pixels, depth, s3)
    except (BadImage, StoreError):  # removed meanwhile
        return ""
    image.thumbnail((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
