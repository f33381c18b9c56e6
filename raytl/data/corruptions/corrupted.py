"""Provide the images of a split under one corruption, each corrupted when it is read."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.data.corruptions.corruption import Corruption
from raytl.data.images import Images, Pixels


class CorruptedImages:
    """Prepared images under a corruption at one severity; `keys` are those of their samples. See `raytl.data.images.Images`."""

    def __init__(self, images: Images, keys: Sequence[str], corruption: Corruption, severity: int) -> None:
        assert len(images) == len(keys), f"{len(images)} images, {len(keys)} keys"
        self._images, self._keys, self._corruption, self._severity = images, keys, corruption, severity

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, i: int, /) -> Pixels:
        return self._corruption(self._images[i], self._severity, self._keys[i])
