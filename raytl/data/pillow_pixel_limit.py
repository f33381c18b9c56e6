"""Lift Pillow's pixel limit while raytl decodes, as raytl checks `data.max_pixels` itself, which may be higher."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


class _Lifting:
    """The number of threads inside, and the process-wide limit to restore when the last one leaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limit = Image.MAX_IMAGE_PIXELS


_lifting = _Lifting()


@contextmanager
def pixel_limit_lifted() -> Iterator[None]:
    """Lift the limit inside the block."""
    lifting = _lifting
    with lifting.lock:
        if not lifting.inside:
            lifting.limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        lifting.inside += 1
    try:
        yield
    finally:
        with lifting.lock:
            lifting.inside -= 1
            if not lifting.inside:
                Image.MAX_IMAGE_PIXELS = lifting.limit


def _reset() -> None:
    """Start afresh in a forked process, which has only this thread."""
    global _lifting
    if _lifting.inside:
        Image.MAX_IMAGE_PIXELS = _lifting.limit
    _lifting = _Lifting()


os.register_at_fork(after_in_child=_reset)
