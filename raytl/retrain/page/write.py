"""The pages of a registry, stored in it: one of each tick that did something, and one of all."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from raytl.data.bit_depth import BitDepth
from raytl.data.decode import BadImage, decode, read
from raytl.errors import NotFound, RegistryError, StoreError
from raytl.registry.registry import Registry
from raytl.retrain.compare import EVALUATED
from raytl.retrain.page.registry import registry_page
from raytl.retrain.page.tick import Flip, tick_page
from raytl.retrain.ticks import WORK, Tick, all_ticks
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import FilePath, Name, Score

INDEX = "index.html"
_MOST = 8
_TILE_PX = 264
DEPTH_FORMAT = Format[BitDepth](BitDepth, "a bit depth", "Restore the version's record.", RegistryError)


def write_pages(registry: Registry, tick: Tick, name: str, max_pixels: int, s3: S3Settings = ENVIRONMENT) -> str:
    """Store the page of `tick` and the registry's; the key of the former."""
    rows = _rows(registry, tick)
    gained = [row for row in rows if row.challenger == row.label != row.champion is not None]
    lost = [row for row in rows if row.champion == row.label != row.challenger]
    depth = _depth(registry, tick.version)
    text = tick_page(tick, name, *(_flips(part, max_pixels, depth, s3) for part in (gained, lost)))
    key = f"pages/{tick.id}.html"
    retried(lambda: registry.store.put_bytes(key, text.encode("utf-8", "backslashreplace")))
    write_index(registry, name)
    return key


def write_index(registry: Registry, name: str) -> None:
    """Store the registry's page."""
    text = registry_page(
        name, registry.records(), registry.state().aliases, registry.history(), all_ticks(registry.store)
    )
    retried(lambda: registry.store.put_bytes(INDEX, text.encode("utf-8", "backslashreplace")))


@dataclass(frozen=True, slots=True)
class _Row:
    """What both models said of an evaluation image."""

    key: str
    path: FilePath
    label: Name
    split: str | None
    digest: Name
    champion: Name | None
    challenger: Name | None
    confidence: Score


ROW_FORMAT = Format[_Row](
    _Row,
    "what both models said of an image",
    "The object was damaged or edited: delete it, and the page is made without it.",
    RegistryError,
    max_bytes=1 << 18,
)


def _rows(registry: Registry, tick: Tick) -> list[_Row]:
    if tick.contest is None or tick.contest.paired is None:
        return []
    key = f"{WORK}{tick.id}/{EVALUATED}"
    try:
        content = retried(lambda: registry.store.get_bytes(key))
    except NotFound:
        return []
    return list(ROW_FORMAT.lines(content, f"{registry.uri}/{key}"))


def _depth(registry: Registry, version: int | None) -> BitDepth:
    """Return the bit depth that the version reads images with."""
    if version is None:
        return BitDepth()
    stored = registry.record(version).about.preprocess.get("bit_depth", {})
    return DEPTH_FORMAT.typed(stored, f"{registry.uri}: version {version}: preprocess.bit_depth")


def _flips(rows: Sequence[_Row], max_pixels: int, depth: BitDepth, s3: S3Settings = ENVIRONMENT) -> list[Flip]:
    """The ones that the challenger is surest of, with their pictures."""
    best = sorted(rows, key=lambda row: -row.confidence)[:_MOST]
    return [
        Flip(
            row.key,
            row.label,
            row.champion or "",
            row.challenger or "",
            _picture(row.path, row.digest, max_pixels, depth, s3),
        )
        for row in best
    ]


def _picture(path: str, digest: str, max_pixels: int, depth: BitDepth, s3: S3Settings = ENVIRONMENT) -> str:
    """Return the image at `path` as a data URI; empty where the file is not the one with the digest that was compared on.

    Rows come from the registry: without the digest, one could name any photo of this machine and have it published.
    """
    try:
        content = read(path, max_pixels, s3)
        if hashlib.sha256(content).hexdigest() != digest:
            return ""
        image = decode(content, max_pixels, depth, s3)
    except (BadImage, StoreError):  # it went away since
        return ""
    image.thumbnail((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
