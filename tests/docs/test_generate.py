"""The generated references have every key, every command, every metric and every exported name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import raytl
from docs.generate import api, cli, experiment, metrics
from docs.generate.__main__ import PARTS, write
from docs.generate.words import EXAMPLES, UNITS
from raytl import load_experiment
from raytl.cli.main import EXAMPLES as COMMANDS
from raytl.cli.main import VERBS
from raytl.cluster.metrics import METRICS
from raytl.config import shape

KEYS = experiment.markdown()
# a key that takes effect only beside another one
BESIDE: dict[str, dict[str, Any]] = {
    "data.zip_encoding": {"data.uri": "photos.zip"},
    "data.stream": {"data.uri": "s3://bucket/photos"},
    "transfer.gradual_every": {"transfer.gradual": True},
    "train.focal_gamma": {"train.loss": "focal"},
    "train.gce_q": {"train.loss": "gce"},
    "train.elr_weight": {"train.loss": "elr"},
    "train.elr_momentum": {"train.loss": "elr"},
    "train.small_loss_keep": {"train.loss": "small_loss"},
    "train.small_loss_ramp": {"train.loss": "small_loss"},
    "auxiliary.columns": {"data.uri": "photos.csv"},
    "auxiliary.weight": {"auxiliary.columns": ["camera"], "data.uri": "photos.csv"},
    "few.fraction": {"few.method": "auto", "data.unlabelled": "all"},
    "few.min_confidence": {"few.method": "auto", "data.unlabelled": "all"},
    "adapt.target": {"adapt.method": "auto"},
    "adapt.method": {"adapt.target": "others"},
    "adapt.alpha": {"adapt.method": "auto", "adapt.target": "others"},
    "adapt.weight": {"adapt.method": "dann", "adapt.target": "others"},
    "adapt.tent.lr": {"adapt.method": "tent", "adapt.target": "others"},
    "adapt.tent.passes": {"adapt.method": "tent", "adapt.target": "others"},
    "adapt.style.probability": {"adapt.target": "others"},
    "adapt.style.beta": {"adapt.style.probability": 0.5, "adapt.target": "others"},
    **{
        f"few.fixmatch.{name}": {"few.method": "fixmatch", "data.unlabelled": "all"}
        for name in ("ratio", "threshold", "weight")
    },
    **{f"warmup.{name}": {"warmup.method": "simclr"} for name in ("epochs", "batch_size", "temperature", "lr")},
    "model.stem": {"model.channels": 4},
    "data.synthetic.share": {"data.synthetic.uri": "rendered/"},
    "labels.columns": {"data.uri": "photos.csv"},
    "optim.restart_every": {"optim.schedule": "restarts"},
    "search.metric": {"search.scheduler": "none"},
}


def entry(key: str) -> str:
    """Return what the reference says of a key."""
    return KEYS.split(f"#### {key} {{ #{key} }}\n")[1].split("\n#")[0]


def test_every_key_is_described_with_type_default_and_example() -> None:
    for key in shape.all_keys():
        assert all(f"**{name}** " in entry(key) for name in ("Type", "Default", "Example")), key


@pytest.mark.parametrize(
    ("key", "facts"),
    [
        ("optim.lr", "**Type** number · **Default** `0.001` · **Bounds** > 0"),
        ("data.val_fraction", "**Unit** fraction · **Default** `0.15` · **Bounds** ≥ 0 and < 1"),
        ("transfer.gradual_every", "**Unit** epochs · **Default** `1` · **Bounds** ≥ 1"),
        ("optim.restart_every", "**Bounds** > 0"),
        ("compute.wait_s", "**Unit** seconds, or text such as `2 h`"),
        ("train.precision", "**Type** `auto`, `fp32`, `bf16`, `fp16` · **Default** `auto`"),
        ("data.uri", "**Default** required"),
        ("retrain.how.search_again.every", "**Default** required · **Bounds** ≥ 1"),
    ],
)
def test_the_facts_of_a_key_are_those_of_the_schema(key: str, facts: str) -> None:
    assert facts in entry(key)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, value in experiment.examples().items()])
def test_the_example_of_a_key_is_accepted(key: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("name: x\ndata: {uri: photos}\nmodel: {name: resnet18}\n")
    load_experiment(path, BESIDE.get(key, {}) | {key: value})


def test_the_words_are_about_keys_that_exist() -> None:
    strange = [key for key in [*EXAMPLES, *UNITS] if shape.node_at(key.split(".")) is None]
    assert not strange, f"docs/generate/words.py names {strange}"


def test_every_command_has_a_heading_and_an_example() -> None:
    text = cli.markdown()
    for verb in VERBS:
        assert re.search(rf"^##+ `raytl {verb}`$", text, re.MULTILINE), verb
        assert f"$ {COMMANDS[verb]}\n```" in text
    assert "[bold]" not in text


def test_every_exported_name_is_described_where_it_is_defined() -> None:
    text = api.markdown()
    headings = re.findall(r"heading: raytl\.(\w+)", text)
    assert headings == list(raytl.__all__)
    for name, where in re.findall(r"^::: (raytl\.\S+)\.(\w+)$", text, re.MULTILINE):
        assert Path(f"{name.replace('.', '/')}.py").exists(), where


def test_every_metric_is_listed_by_its_exported_name() -> None:
    text = metrics.markdown()
    assert text.count("\n") == 2 + len(METRICS)
    assert "| `ray_raytl_restarts_total` | counter | `kind` |" in text


def test_all_parts_are_written(tmp_path: Path) -> None:
    write(tmp_path / "generated")
    assert {path.name for path in (tmp_path / "generated").iterdir()} == set(PARTS)
