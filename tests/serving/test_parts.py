"""The queue, the metrics and the passing on of answers, each by itself."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raytl.data.pixel_memory import machine_bytes
from raytl.errors import Denied, NotFound, StoreError, TooLarge, Unavailable
from raytl.serving.live import opened
from raytl.serving.metrics import FRACTIONS, Counters, Histogram
from raytl.serving.observe import Observation, Observations
from raytl.serving.options import MAX_PIXELS
from raytl.serving.pool import PhotoPool, retry_after_s
from raytl.serving.refusal import Refusal, of_store
from raytl.store.s3_settings import ENVIRONMENT
from tests.data.files import png16
from tests.serving.bundles import write_bundle
from tests.serving.recording import Recording


def test_photos_beyond_the_queue_are_refused_at_once_and_later_ones_are_not() -> None:
    pool, gate = PhotoPool(1, 2), threading.Event()

    async def work() -> list[object]:
        began = [asyncio.ensure_future(pool.map(lambda each: gate.wait(20) and each, [number])) for number in range(3)]
        await asyncio.sleep(0)
        assert (pool.pending, pool.waiting) == (3, 2)
        with pytest.raises(Refusal, match="the queue is full") as caught:
            await pool.map(lambda each: each, [9])
        assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})
        gate.set()
        return [*await asyncio.gather(*began), await pool.map(lambda each: each, [9])]

    assert asyncio.run(work()) == [[0], [1], [2], [9]]
    assert pool.pending == 0
    pool.close()


def test_photos_that_never_fit_into_the_queue_are_not_to_be_retried() -> None:
    pool = PhotoPool(1, 2)
    with pytest.raises(Refusal, match="4 photos at once; expected 3 at most") as caught:
        asyncio.run(pool.map(lambda each: each, [1, 2, 3, 4]))
    assert (caught.value.status, caught.value.headers) == (413, {})
    pool.close()


def test_an_error_of_one_photo_leaves_the_pool_usable() -> None:
    pool = PhotoPool(2, 4)

    async def work() -> None:
        with pytest.raises(ZeroDivisionError, match="zero"):
            await pool.map(lambda each: 1 // each, [1, 0, 1])
        await asyncio.sleep(0)

    asyncio.run(work())
    assert pool.pending == 0
    pool.close()


@pytest.mark.parametrize(
    ("pending", "workers", "mean_s", "expected"), [(0, 1, 0, 1), (100, 2, 0.5, 25), (10**6, 1, 9, 60)]
)
def test_the_time_to_retry_follows_from_the_queue(pending: int, workers: int, mean_s: float, expected: int) -> None:
    assert retry_after_s(pending, workers, mean_s) == expected


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound(), 404), (Denied(), 403), (TooLarge(), 413), (Unavailable(), 503), (StoreError("x"), 502)],
)
def test_errors_of_a_bucket_are_refusals(error: StoreError, status: int) -> None:
    assert of_store(error).status == status


def test_a_histogram_counts_each_value_once() -> None:
    histogram = Histogram(FRACTIONS)
    for value in (0.0, 0.1, 0.55, 1.0, 2.0):
        histogram.add(value)
    assert (histogram.counts[0], histogram.counts[-1], sum(histogram.counts)) == (2, 1, 5)


def test_metrics_are_prometheus_text_whatever_the_labels_hold() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    counters, label = Counters(), 'a "b"\\\n{c}'
    counters.request("/predict", 200, 0.01)
    counters.answer({"label": label, "confidence": 0.97}, 0.01, 3)
    counters.answer({"label": "of too many classes", "confidence": 0.2, "answered": False}, 0.01, 10**5)
    text = counters.text(
        {"queue_photos": 2.0, "raytl_drift_e_value": 0.5, "raytl_feedback_seen_total": 3.0}, {"version": "7"}
    )
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["raytl_feedback_seen"].type == "counter"
    assert families["raytl_drift_e_value"].samples[0].value == 0.5
    assert [sample.labels["label"] for sample in families["raytl_answers"].samples] == [label]
    assert families["raytl_abstained"].samples[0].value == 1
    buckets = {sample.labels.get("le"): sample.value for sample in families["raytl_confidence"].samples}
    assert (buckets["0.95"], buckets["0.99"], buckets["+Inf"]) == (1, 2, 2)


def test_numbers_of_metrics_keep_their_digits() -> None:
    counters = Counters()
    counters.count("photos_total", 12_345_678)
    for _ in range(2):
        counters.request("/predict", 200, 123_456.25)
    lines = counters.text({"body_bytes": 268_435_455.0}, {}).splitlines()
    assert {"raytl_photos_total 12345678", "raytl_request_seconds_sum 246912.5", "raytl_body_bytes 268435455"} <= set(
        lines
    )


def test_a_refused_connection_has_no_time() -> None:
    counters = Counters()
    counters.refused_connection(503)
    lines = counters.text({}, {}).splitlines()
    assert {'raytl_requests_total{code="503",path="connection"} 1', "raytl_request_seconds_count 0"} <= set(lines)


def test_a_photo_that_takes_more_memory_than_there_is_is_refused_before(tmp_path: Path) -> None:
    model = opened(write_bundle(tmp_path / "b"), "1", 1, MAX_PIXELS, ENVIRONMENT)
    deep = png16(np.zeros((100, 100, 4), np.uint16))  # 42 bytes a pixel while it is decoded, and 32 in the graph
    assert replace(model, max_memory_bytes=420_000).pixels(deep).shape == (100, 100, 3)
    with pytest.raises(Refusal, match="unreadable image: it takes 0.0 GB of memory; expected"):
        replace(model, max_memory_bytes=419_999).pixels(deep)
    with pytest.raises(Refusal, match="a photo of 100 x 90 pixels: it takes 0.0 GB of memory"):
        replace(model, max_memory_bytes=200_000).answered(np.zeros((90, 100, 3), np.uint8))
    assert model.max_memory_bytes is not None
    assert 1 << 28 < model.max_memory_bytes < machine_bytes()


def test_a_number_that_is_not_finite_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened(write_bundle(tmp_path / "labels", kind="labels"), "1", 1, MAX_PIXELS, ENVIRONMENT)
    outputs = [np.array([[np.nan, 0.5, 0.5]], np.float32), np.ones((1, 3), np.float32)]
    monkeypatch.setattr(model.bundle.model, "network", lambda pixels: outputs)
    with pytest.raises(Refusal, match="not finite"):
        model.answered(np.zeros((8, 8, 3), np.uint8))


def observation(photo: bytes = b"x", version: str = "1") -> Observation:
    return Observation(photo, {}, None, version)


def test_answers_are_passed_on_in_order_and_failures_are_counted() -> None:
    recording, counters = Recording(), Counters()
    recording.gate.set()
    observations = Observations(recording, counters)
    for each in (observation(version="1"), observation(b"fail"), observation(version="2")):
        observations.add(each)
    assert observations.gauges() == {"raytl_drift": 1.0}
    observations.close()
    assert (recording.seen, recording.is_closed) == (["1", "2"], True)
    assert counters.values[("observations_failed_total", ())] == 1


def test_answers_that_too_many_wait_before_are_dropped_and_counted() -> None:
    recording, counters = Recording(), Counters()
    observations = Observations(recording, counters)
    for _ in range(300):
        observations.add(observation())
    observations.add(observation(b"x" * (65 << 20)))
    recording.gate.set()
    observations.close()
    assert len(recording.seen) + counters.values[("observations_dropped_total", ())] == 301
    assert len(recording.seen) <= 257
