"""Threads that decode hold no more memory at once than there is for it."""

from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.data import decode, pixel_memory
from raytl.data.jpeg import markers
from raytl.data.pixel_memory import PixelMemory, bytes_a_pixel
from tests.data.files import png16


def test_threads_never_hold_more_than_there_is() -> None:
    memory, seen = PixelMemory(1000), list[int]()

    def work(number: int) -> None:
        with memory.reserved(100 + number % 400):
            seen.append(memory.used)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(500)))
    assert len(seen) == 500
    assert max(seen) <= 1000
    assert memory.used == 0


def test_an_image_larger_than_all_there_is_has_it_alone() -> None:
    memory, order = PixelMemory(1000), list[str]()
    large_waits, small_asks = threading.Event(), threading.Event()

    def large() -> None:
        large_waits.set()
        with memory.reserved(5000):
            order.append(f"large of {memory.used}")

    def small() -> None:
        small_asks.set()
        with memory.reserved(10):
            order.append("small")

    with ThreadPoolExecutor(2) as pool:
        with memory.reserved(600):
            first = pool.submit(large)
            assert large_waits.wait(10)
            while not memory._turn.locked():
                pass
            second = pool.submit(small)
            assert small_asks.wait(10)
            assert order == []
        first.result(10), second.result(10)
    assert order == ["large of 5000", "small"]


def test_memory_is_given_back_when_decoding_fails() -> None:
    memory = PixelMemory(1000)
    with pytest.raises(ValueError, match="broken"), memory.reserved(900):
        raise ValueError("broken")
    assert memory.used == 0


def test_a_forked_process_begins_with_all_of_it() -> None:
    with pixel_memory.reserved(10**12):
        pid = os.fork()
        if pid == 0:
            os._exit(int(pixel_memory._shared.used != 0))
        assert os.waitpid(pid, 0)[1] == 0


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


RGB = Image.new("RGB", (16, 16))
KINDS = [
    (encoded(RGB, "JPEG"), 8),
    (encoded(RGB, "JPEG", progressive=True), 12),
    (encoded(RGB, "JPEG")[:-2], 20),
    (encoded(RGB, "PNG"), 8),
    (encoded(Image.new("RGBA", (16, 16)), "PNG"), 22),
    (png16(np.zeros((16, 16), np.uint16)), 12),
    (png16(np.zeros((16, 16, 4), np.uint16)), 42),
    (encoded(Image.new("F", (16, 16)), "TIFF"), 28),
    (encoded(RGB, "JPEG2000"), 25),
]  # fmt: skip


@pytest.mark.parametrize(("data", "rate"), KINDS)
def test_the_copies_that_decoding_makes_count(data: bytes, rate: int) -> None:
    assert bytes_a_pixel(decode._opened(data, 10**6), markers(data)) == rate


@pytest.mark.parametrize(("data", "rate"), KINDS)
def test_a_picture_holds_its_memory_until_it_is_done_with(
    data: bytes, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = PixelMemory(1 << 20)
    monkeypatch.setattr(pixel_memory, "_shared", memory)
    with decode.loaded(data, 10**6) as picture:
        assert memory.used == 16 * 16 * rate
        picture.rgb()
    assert memory.used == 0


def test_a_container_s_bound_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(pixel_memory, "_LIMITS", (str(limit), "/nowhere"))
    monkeypatch.setattr(pixel_memory, "MIN_BYTES", 1)
    limit.write_text("1600\n")
    assert pixel_memory._new().limit_bytes == 100
    limit.write_text("max\n")
    assert pixel_memory._new().limit_bytes > 100
