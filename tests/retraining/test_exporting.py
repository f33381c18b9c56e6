"""A tick publishes its challenger with a bundle, or rejects it if the bundle is not as good."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.bundle.opening import open_bundle
from raytl.exporting import driver
from raytl.registry.bundles import bundle_uris
from raytl.registry.reader import folder_of
from tests.exporting.test_parity import judged, table
from tests.retraining.conftest import MakeDays


@pytest.mark.thorough
def test_a_version_is_published_with_its_bundle(make_days: MakeDays) -> None:
    days = make_days().where(retrain__export={"input": "crop"})
    assert days.tick().champion == 1
    record = days.registry.record(1)
    assert list(bundle_uris(days.registry, record)) == ["onnx-fp32"]
    bundle = open_bundle(folder_of(days.registry, record) / "bundles" / "onnx-fp32")
    assert bundle.card.origin.weights == record.about.weights
    photo = next(days.photos.rglob("*.jpg"))
    assert bundle.model.predict(str(photo))["label"] in record.about.classes


def test_a_challenger_whose_bundle_fails_is_rejected_with_the_reason(
    make_days: MakeDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(run: str, *args: Any, **kwargs: Any) -> None:
        raise driver.ParityFailed(run, judged(table(200), "fp32"))

    monkeypatch.setattr(driver, "export", failing)
    result = make_days().where(retrain__export={}).tick()
    assert result.tick is not None and result.champion is None
    assert result.tick.outcome == "reject" and "its onnx-fp32 bundle fails: agree" in result.tick.reasons[0]
