"""Pillow's own bound is pixel_limit_lifted for raytl's files, and stands for everybody else's."""

from __future__ import annotations

import io
import os
import threading

import pytest
from PIL import Image

from raytl.data.decode import decode
from raytl.data.pillow_pixel_limit import pixel_limit_lifted


def test_the_bound_is_lifted_while_anybody_decodes_and_stands_again_behind() -> None:
    bound = Image.MAX_IMAGE_PIXELS
    assert bound is not None
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with pixel_limit_lifted():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with pixel_limit_lifted():
        assert Image.MAX_IMAGE_PIXELS is None
    assert Image.MAX_IMAGE_PIXELS is None
    pid = os.fork()
    if pid == 0:
        os._exit(int(bound != Image.MAX_IMAGE_PIXELS))
    leave.set()
    thread.join(10)
    assert os.waitpid(pid, 0)[1] == 0
    assert bound == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_a_limit_above_pillow_s_own_is_the_one_that_counts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.new("1", (300, 300)).save(stream, kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode(stream.getvalue(), 90_000).size == (300, 300)
    assert Image.MAX_IMAGE_PIXELS == 1000
