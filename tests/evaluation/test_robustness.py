"""Corrupted photos pass through the model's own preprocessing, and what breaks the model is named at its severity."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.data.corruptions.suite import SUITES, suite_named
from raytl.data.images import Images
from raytl.data.manifest import Sample
from raytl.data.targets import Labels
from raytl.errors import UserError
from raytl.evaluation.corrupted import CorruptedAnswers
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predictor import Predictor, load
from raytl.evaluation.record import recorded
from raytl.evaluation.robustness import Answer, Robustness, chosen_photos, judged, robustness, versions
from raytl.events import Event, Work
from raytl.metrics.confusion import Ints
from raytl.run import RunFolder
from raytl.run.plain import encode

DARK = next(each for each in suite_named("camera") if each.name == "dark")
BRIGHT = next(each for each in suite_named("camera") if each.name == "bright")


@pytest.fixture
def model(run: RunFolder) -> Predictor:
    return load(run.root)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the camera's suite two corruptions."""
    monkeypatch.setitem(SUITES, "camera", (DARK, BRIGHT))


def by_brightness(images: Images) -> NDArray[np.float64]:
    """Answer 1 for images whose mean level is above 60, else 0, with confidence."""
    bright = np.array([images[i].mean() > 60 for i in range(len(images))])
    return 4.0 * np.stack([~bright, bright], axis=1)


def measured(answer: Answer, images: Images, targets: Ints) -> Robustness:
    """Return the robustness of a function on images, by the suite camera."""
    keys = [str(i) for i in range(len(images))]
    return judged(
        CorruptedAnswers("camera", tuple(keys), versions(answer, images, keys, suite_named("camera"))), targets
    )


def flat(level: int, count: int) -> list[NDArray[np.uint8]]:
    return [np.full((8, 8, 3), level, dtype=np.uint8) for _ in range(count)]


@pytest.mark.usefixtures("few")
def test_the_first_severity_that_breaks_a_model_is_named() -> None:
    result = measured(by_brightness, flat(30, 20) + flat(120, 20), np.repeat([0, 1], 20))
    dark, bright = result.responses
    assert result.clean.accuracy.value == 1 and result.images == 40
    assert [each.accuracy.value for each in dark.severities] == [1, 0.5, 0.5] and dark.breaks_at == 2
    assert bright.breaks_at == 3 and [each.lost for each in bright.severities] == [0, 0, 20]
    assert result.smallest_loss == 7


@pytest.mark.usefixtures("few")
def test_a_model_that_ignores_the_light_is_not_broken() -> None:
    answers = 4.0 * np.eye(2)[np.repeat([0, 1], 20)]
    result = measured(lambda _: answers, flat(90, 40), np.repeat([0, 1], 20))
    assert result.responses[0].breaks_at is None


@pytest.mark.usefixtures("few")
def test_unchanged_photos_have_the_scores_of_an_evaluation(run: RunFolder, model: Predictor) -> None:
    samples = recorded(run, "val")
    result = robustness(model, samples)
    report = evaluate(run.root, split="val", resamples=10)
    assert result.images == len(samples) == 6
    assert result.clean.accuracy.value == report.metrics["accuracy"]
    assert result.clean.ece.value == pytest.approx(report.metrics["ece"])


@pytest.mark.usefixtures("few")
def test_the_answers_are_those_of_the_predictor_on_corrupted_photos(run: RunFolder, model: Predictor) -> None:
    samples = recorded(run, "val")
    confidence = robustness(model, samples).responses[0].severities[1].confidence
    prepared = [np.asarray(image) for image in _prepared(model, samples)]
    dark = [DARK(pixels, 2, sample.key) for pixels, sample in zip(prepared, samples, strict=True)]
    assert confidence == pytest.approx(np.mean([each.probability for each in model.predict(dark)]), abs=1e-6)


def _prepared(model: Predictor, samples: tuple[Sample, ...]) -> list[NDArray[np.uint8]]:
    from raytl.data.cache import source_images

    images = source_images(samples, model._saved.card.preprocess, model.max_pixels)
    return [images[i] for i in range(len(samples))]


@pytest.mark.usefixtures("few")
def test_results_do_not_depend_on_the_order_and_progress_is_reported(run: RunFolder, model: Predictor) -> None:
    samples, events = recorded(run, "val"), list[Event]()
    first = robustness(model, samples, on_event=events.append)
    assert robustness(model, samples[::-1]) == first
    work = [event for event in events if isinstance(event, Work) and event.name == "corrupting photos"]
    assert (work[-1].done, work[-1].total) == (6, 6)


def test_photos_are_chosen_in_proportion_to_the_classes() -> None:
    samples = [
        Sample(f"{name}/{i}", "", name) for name, count in (("a", 60), ("b", 30), ("c", 10)) for i in range(count)
    ]
    chosen = chosen_photos(samples, 20)
    assert [sum(each.label == name for each in chosen) for name in "abc"] == [12, 6, 2]
    assert chosen_photos(samples[::-1], 20) == chosen and len(set(chosen)) == 20
    assert len(chosen_photos(samples, 500)) == 100


def test_wrong_requests_are_refused_all_at_once(model: Predictor) -> None:
    labels = Sample("a", "a.png", Labels(("x",)))
    with pytest.raises(UserError, match=r"(?s)photos: found 0.*one class an image"):
        robustness(model, [labels], photos=0)
    with pytest.raises(UserError, match="suite 'weather': there is no such suite; expected one of camera, imagenet-c"):
        robustness(model, [], suite="weather")
    with pytest.raises(UserError, match="found no photos"):
        robustness(model, [])


@pytest.mark.usefixtures("few")
def test_the_result_is_json_with_the_severity_that_breaks(run: RunFolder, model: Predictor) -> None:
    payload = json.loads(encode(robustness(model, recorded(run, "val")).to_json()))
    assert payload["suite"] == "camera" and set(payload["clean"]["accuracy"]) == {"value", "low", "high"}
    assert payload["responses"][0]["corruption"] == "dark" and payload["responses"][0]["breaks_at"] is None
    assert len(payload["responses"][0]["severities"]) == 3
