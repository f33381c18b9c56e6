"""Lift Pillow's own bound of pixels while raytl decodes, as `data.max_pixels` is checked for every file and may be higher."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


class _Lifting:
    """How many threads are inside, and the bound to restore when the last one leaves: it is one for the whole process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.bound = Image.MAX_IMAGE_PIXELS


_lifting = _Lifting()


@contextmanager
def pixel_limit_lifted() -> Iterator[None]:
    """Lift the bound for the block."""
    lifting = _lifting
    with lifting.lock:
        if not lifting.inside:
            lifting.bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        lifting.inside += 1
    try:
        yield
    finally:
        with lifting.lock:
            lifting.inside -= 1
            if not lifting.inside:
                Image.MAX_IMAGE_PIXELS = lifting.bound


def _begin_anew() -> None:
    """In a forked process: no thread but this one is here."""
    global _lifting
    if _lifting.inside:
        Image.MAX_IMAGE_PIXELS = _lifting.bound
    _lifting = _Lifting()


os.register_at_fork(after_in_child=_begin_anew)
