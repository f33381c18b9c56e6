"""The `retrain` section: its units, its bounds, and what cannot stand together."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.errors import ConfigError

FILE = """\
name: trash
data: {uri: photos}
model: {name: mobilenetv2_100}
retrain:
  when: {new_samples: 200, or_drift: 0.1, or_every: 30 d, at_most_every: 1 d}
  how: {start_from: champion, recipe: champion, search_again: {every: 10, trials: 16}}
  gate: {metric: balanced_accuracy, margin: 0.0, confidence: 0.95, max_class_drop: 0.05, max_latency_ms: 30}
  registry: s3://bucket/models/trash
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "trash.yaml"
    file.write_text(FILE)
    return file


def test_times_are_read_in_words(path: Path) -> None:
    when = load_experiment(path).retrain.when
    assert (when.or_every, when.at_most_every) == (30 * 86400, 86400)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"retrain.when": {"new_samples": None, "or_new_class": None, "or_drift": None, "or_every": None}}, "ever trigger training"),
        ({"retrain.when.or_every": "12 h"}, r"found 0.5 d, and retrain\.when\.at_most_every is 1 d"),
        ({"retrain.registry": "ftp://x"}, "expected a folder or an s3:// prefix for the versions"),
        ({"retrain.gate.confidence": 95}, r"retrain\.gate\.confidence"),
        ({"retrain.gate.max_class_drop": 5}, r"did you mean 0\.05\? It is a fraction"),
        ({"retrain.notify.webhook_env": "https://hooks.slack.com/x"}, "Name of the environment variable"),
        ({"retrain.how.search_again": {"trials": 4}}, r"retrain\.how\.search_again\.every"),
        ({"transfer.head_start": "weights"}, "has no head for these classes"),
    ],
)  # fmt: skip
def test_impossible_values_are_reported(path: Path, values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        override(load_experiment(path), values)


def test_a_version_of_a_model_can_be_the_weights(path: Path) -> None:
    weights = "models:trash@champion"
    assert override(load_experiment(path), {"model.weights": weights}).model.weights == weights
