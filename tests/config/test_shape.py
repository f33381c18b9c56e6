"""The JSON Schema that editors complete with, and what it says in words."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from raytl.config import shape
from raytl.config.dump import to_yaml
from raytl.config.schema import DataConfig, Experiment, ModelConfig

EXAMPLE = """
name: trash-mobilenetv2
task: classification
data: {uri: "s3://bucket/trash/", val_fraction: 0.15, test_fraction: 0.15}
model: {name: mobilenetv2_100, weights: pretrained}
transfer: {unfreeze: 2, lr_decay: 0.6, head_lr_ratio: 10, head_first: 1 epoch}
augment: {strength: 0.5}
optim: {name: adamw, lr: 0.001, weight_decay: 0.05}
train: {epochs: 12, batch_size: 64, early_stop: 4, precision: auto, seed: 0}
compute: {workers: 1, device: auto}
storage: {uri: runs/}
"""


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(shape.json_schema())


def test_every_key_is_described() -> None:
    bare = [key for key in shape.all_keys() if not shape.description(key.split("."))]
    assert not bare
    sections = [key for key in Experiment.model_fields if shape.keys_of([key])]
    assert all(shape._resolved(shape.json_schema()["properties"][key])["description"] for key in sections)


def test_the_schema_takes_the_example_and_a_resolved_experiment() -> None:
    jsonschema.validate(yaml.safe_load(EXAMPLE), shape.json_schema())
    experiment = Experiment(name="a", data=DataConfig(uri="x"), model=ModelConfig(name="m"))
    jsonschema.validate(yaml.safe_load(to_yaml(experiment)), shape.json_schema())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"transfr": {}}, "Additional properties are not allowed"),
        ({"optim": {"lr": 0}}, "0 is less than or equal to the minimum of 0|0 "),
        ({"transfer": {"unfreeze": "most"}}, "'most' is not valid|'all' was expected"),
        ({"transfer": {"head_first": "soon"}}, "'soon' is not valid|'soon' does not match"),
    ],
)
def test_the_schema_refuses_what_raytl_refuses(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=fault):
        jsonschema.validate(yaml.safe_load(EXAMPLE) | change, shape.json_schema())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("name", "text"),
        ("train.epochs", "a whole number of at least 1"),
        ("train.seed", "a whole number of at least 0 and below 2147483648"),
        ("optim.lr", "a number above 0"),
        ("optim.ema", "a number above 0 and below 1, or null"),
        ("transfer.unfreeze", "a whole number of at least 0, or all"),
        ("transfer.gradual", "true or false"),
        ("transfer.head_first", "a number of at least 0, or text such as '2 epochs'"),
        ("augment.strength", "a number from 0 to 1"),
        ("data.cache", "auto, on or off"),
        ("train.class_weights", "a mapping of names to a number, or none or balanced"),
        ("train.class_weights.cat", "a number"),
        ("model.preprocess.mean", "a list of several numbers, or null"),
        ("search.replicates", "a section with the keys top, seeds"),
        ("no.such.key", "nothing"),
    ],
)
def test_the_expectation_is_described_in_words(key: str, words: str) -> None:
    assert shape.expectation(key.split(".")) == words


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("transfer.unfreez", "did you mean 'unfreeze'?"),
        ("transfr", "did you mean 'transfer'?"),
        ("train.learning-rate", "raytl calls it optim.lr"),
        ("train.lr_decay", "did you mean transfer.lr_decay?"),
        ("epochs", "did you mean train.epochs or warmup.epochs?"),
        ("train.uri", "did you mean data.uri or data.synthetic.uri or storage.uri?"),
        ("qqqqq", None),
    ],
)
def test_a_wrong_key_is_led_to_the_right_one(key: str, advice: str | None) -> None:
    assert shape.right_key(key.split(".")) == advice
