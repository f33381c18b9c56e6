"""The place of a key on a line from 0 to 1, by which samples and groups are drawn for splits."""

from __future__ import annotations

import hashlib

from raytl.data.unicode_names import nfc


def position(key: str) -> float:
    """Return the position of a key in [0, 1): uniform, and the same on every machine forever."""
    digest = hashlib.sha256(nfc(key).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
