"""Decode once: the same pixels with and without the cache, whoever asks, however the builder died."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.config.schema import DataConfig
from raytl.data import image_packs
from raytl.data.cache import open_images, set_writer
from raytl.data.images import DecodedSet, FileImages
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import ImagesOpened, Message, Recorder, Work

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGE_BYTES = 20 * 20 * 3
FORK = multiprocessing.get_context("fork")


def config(**more: Any) -> DataConfig:
    return DataConfig(uri="photos", **more)


@pytest.fixture
def samples(make_photos: Callable[..., Path]) -> list[Sample]:
    paths = sorted(make_photos(per_class=4).rglob("*.jpg"))
    digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]
    return [
        Sample(f"{p.parent.name}/{p.name}", str(p), p.parent.name, "train", d)
        for p, d in zip(paths, digests, strict=True)
    ]


def assert_same_pixels(images: Any, samples: list[Sample]) -> None:
    files = FileImages(samples, PREPROCESS, 10**6)
    assert len(images) == len(files)
    for i in range(len(files)):
        np.testing.assert_array_equal(images[i], files[i])


def decoded(recorder: Recorder) -> int:
    """Return the number of images decoded so far."""
    return max((event.done for event in recorder.events if isinstance(event, Work)), default=0)


def test_the_cache_gives_the_same_pixels_as_the_files_and_decodes_once(samples: list[Sample]) -> None:
    first, again = Recorder(), Recorder()
    assert_same_pixels(open_images(samples, PREPROCESS, config(), first), samples)
    images = open_images(samples, PREPROCESS, config(), again)
    assert isinstance(images, DecodedSet)
    assert_same_pixels(images, samples)
    assert (decoded(first), decoded(again)) == (12, 0)
    assert again.events == [ImagesOpened(f"12 decoded images (0.0 MB) opened from {image_packs.root()}", hits=12)]


def test_any_part_in_any_order_is_found_and_only_new_images_are_decoded(samples: list[Sample]) -> None:
    open_images(samples[:5], PREPROCESS, config())
    recorder = Recorder()
    mixed = samples[::-1] + samples[2:4]
    assert_same_pixels(open_images(mixed, PREPROCESS, config(), recorder), mixed)
    assert decoded(recorder) == 7


def test_the_same_content_under_two_names_is_stored_once(samples: list[Sample]) -> None:
    recorder = Recorder()
    twice = [*samples, replace(samples[0], key="copy.jpg")]
    assert_same_pixels(open_images(twice, PREPROCESS, config(), recorder), twice)
    assert decoded(recorder) == 12


def test_a_file_that_was_replaced_since_the_audit_is_not_stored(samples: list[Sample]) -> None:
    file, expected = Path(samples[0].path), FileImages(samples, PREPROCESS, 10**6)[0]
    content = file.read_bytes()
    file.write_bytes(Path(samples[-1].path).read_bytes())
    with pytest.raises(DataError, match="its content changed since the data was audited"):
        open_images(samples, PREPROCESS, config())
    file.write_bytes(content)
    np.testing.assert_array_equal(open_images(samples, PREPROCESS, config())[0], expected)


def test_another_preprocessing_is_another_image(samples: list[Sample]) -> None:
    open_images(samples, PREPROCESS, config())
    other = open_images(samples, replace(PREPROCESS, resize_px=24), config())
    assert other[0].shape == (24, 24, 3)


def test_off_reads_the_files_and_writes_nothing(samples: list[Sample]) -> None:
    assert isinstance(open_images(samples, PREPROCESS, config(cache="off")), FileImages)
    assert set_writer(samples, PREPROCESS, config(cache="off")) is None
    assert not image_packs.root().exists()


TINY_GB = 10 * IMAGE_BYTES / 1e9


def test_auto_reads_the_files_when_the_images_do_not_fit_and_says_so(samples: list[Sample]) -> None:
    recorder = Recorder()
    images = open_images(samples, PREPROCESS, config(cache_limit_gb=TINY_GB), recorder)
    assert isinstance(images, FileImages)
    (message,) = recorder.events
    assert isinstance(message, Message)
    assert message.level == "warning"
    assert "decoding 12 images again in every epoch: 12 decoded images need about" in message.text
    assert set_writer(samples, PREPROCESS, config(cache_limit_gb=TINY_GB)) is None


def test_on_is_an_error_when_the_images_do_not_fit(samples: list[Sample]) -> None:
    with pytest.raises(DataError, match=r"data\.cache is on, but 12 decoded images need.*raise data\.cache_limit_gb"):
        open_images(samples, PREPROCESS, config(cache="on", cache_limit_gb=TINY_GB))


def test_samples_that_were_not_audited_are_not_cached(samples: list[Sample]) -> None:
    recorder = Recorder()
    bare = [replace(sample, digest="") for sample in samples]
    assert isinstance(open_images(bare, PREPROCESS, config(), recorder), FileImages)
    assert "not audited" in str(recorder.events)


def test_a_disk_that_cannot_be_written_only_costs_speed(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    recorder = Recorder()
    assert_same_pixels(open_images(samples, PREPROCESS, config(), recorder), samples)
    assert "No space left on device" in str(recorder.events)
    assert left_overs() == []
    writer = set_writer(samples, PREPROCESS, config())
    assert writer is not None
    writer.add(0, np.zeros((20, 20, 3), np.uint8))
    assert writer.commit(samples) == 0


def left_overs() -> list[Path]:
    return list(image_packs.root().glob(".new-*"))


def room_for(images: int) -> float:
    """A limit in GB for so many square images and their indexes."""
    return (images * (IMAGE_BYTES + 80) + 2000) / 1e9


def test_the_least_recently_used_images_leave_first(samples: list[Sample]) -> None:
    limit = config(cache_limit_gb=room_for(10))
    for part in (samples[:4], samples[4:8]):
        del part[4:]
        open_images(part, PREPROCESS, limit)
    (oldest, newest) = sorted(image_packs.root().glob("*/*/pack.json"), key=lambda p: p.stat().st_mtime_ns)
    os.utime(oldest, (1, 1))
    open_images(samples[8:], PREPROCESS, limit)
    assert not oldest.exists()
    assert newest.exists()


def test_images_in_use_are_never_evicted(samples: list[Sample]) -> None:
    limit = config(cache_limit_gb=room_for(6))
    held = open_images(samples[:4], PREPROCESS, limit)
    assert isinstance(open_images(samples[4:8], PREPROCESS, limit), FileImages)
    assert_same_pixels(held, samples[:4])
    del held
    assert isinstance(open_images(samples[4:8], PREPROCESS, limit), DecodedSet)


def _open(samples: list[Sample], queue: Any) -> None:
    recorder = Recorder()
    images = open_images(samples, PREPROCESS, config(), recorder)
    queue.put((decoded(recorder), type(images).__name__))


def test_processes_that_ask_at_once_decode_once(samples: list[Sample]) -> None:
    queue = FORK.Queue()
    processes = [FORK.Process(target=_open, args=(samples, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = sorted(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert answers == [(0, "DecodedSet")] * 3 + [(12, "DecodedSet")]


def _die_while_building(samples: list[Sample]) -> None:
    def die(event: object) -> None:
        if isinstance(event, Work):
            os.kill(os.getpid(), signal.SIGKILL)

    open_images(samples, PREPROCESS, config(), die)


def test_a_builder_that_was_killed_leaves_no_lock_and_no_half_set(samples: list[Sample]) -> None:
    process = FORK.Process(target=_die_while_building, args=(samples,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(left_overs()) == 1
    assert_same_pixels(open_images(samples, PREPROCESS, config()), samples)
    assert left_overs() == []


@pytest.mark.parametrize("name", ["pixels.bin", "index.npy", "pack.json"])
def test_a_damaged_set_is_decoded_again(samples: list[Sample], name: str) -> None:
    del_me = open_images(samples, PREPROCESS, config())
    del del_me
    (file,) = image_packs.root().glob(f"*/*/{name}")
    os.truncate(file, file.stat().st_size // 2)
    recorder = Recorder()
    assert_same_pixels(open_images(samples, PREPROCESS, config(), recorder), samples)
    assert decoded(recorder) == 12


def test_what_the_audit_decoded_is_not_decoded_again(samples: list[Sample]) -> None:
    bare = [replace(sample, digest="") for sample in samples]
    writer = set_writer(bare, PREPROCESS, config())
    assert writer is not None
    files = FileImages(samples, PREPROCESS, 10**6)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda i: writer.add(i, files[i]), reversed(range(12))))
    kept = samples[1:]  # one was dropped as a duplicate
    assert writer.commit(kept) == 11
    assert left_overs() == []
    recorder = Recorder()
    assert_same_pixels(open_images(kept, PREPROCESS, config(), recorder), kept)
    assert decoded(recorder) == 0
    assert set_writer(kept, PREPROCESS, config()) is None


def test_a_test_image_is_never_stored(samples: list[Sample]) -> None:
    writer = set_writer(samples, PREPROCESS, config())
    assert writer is not None
    writer.add(0, np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(AssertionError, match="test images are never stored"):
        writer.commit([replace(samples[0], split="test")])
    assert left_overs() == []


def test_an_aborted_set_leaves_nothing(samples: list[Sample]) -> None:
    writer = set_writer(samples, PREPROCESS, config())
    assert writer is not None
    writer.add(0, np.zeros((20, 20, 3), np.uint8))
    writer.abort()
    writer.add(1, np.zeros((20, 20, 3), np.uint8))
    assert left_overs() == []


def _own_memory_kb() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def _read_all(images: DecodedSet, queue: Any) -> None:
    before = _own_memory_kb()
    total = sum(int(images[i].sum()) for i in range(len(images)))
    queue.put((total, _own_memory_kb() - before))


def test_forked_processes_share_the_mapped_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 512, 512, 3), dtype=np.uint8)
    pixels.tofile(tmp_path / "pixels.bin")
    size = 512 * 512 * 3
    images = DecodedSet([tmp_path / "pixels.bin"], np.array([[0, i * size, 512, 512] for i in range(64)]))
    expected, queue = int(pixels.sum()), FORK.Queue()
    del pixels
    processes = [FORK.Process(target=_read_all, args=(images, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert [total for total, _ in answers] == [expected] * 2
    assert max(kb for _, kb in answers) < 5_000  # of 50 MB of pixels none is copied
