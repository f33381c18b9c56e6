"""One file, all its problems at once: where, what was found, what was expected, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from raytl.config.load import load_experiment
from raytl.errors import ConfigError

HEAD = "name: trash\ndata: {uri: photos}\nmodel: {name: resnet18}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "x.yaml") -> Path:
    """An experiment file in the current directory."""
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def problems(text: str, *overrides: str) -> list[str]:
    """The problems of a file, a line each."""
    with pytest.raises(ConfigError, match="problem") as caught:
        load_experiment(write(text), overrides)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_a_small_file_gets_the_defaults() -> None:
    experiment = load_experiment(write(HEAD))
    assert (experiment.name, experiment.data.uri, experiment.train.batch_size) == ("trash", "photos", 64)


def test_yaml_traps_are_none() -> None:
    text = HEAD + "optim: {lr: 1e-3}\ntransfer: {gradual: yes, head_first: 1 epoch}\n"
    experiment = load_experiment(write(text + "train: {class_weights: {1: 2, no: 1e0}}\naugment:\n  # nothing yet\n"))
    assert experiment.optim.lr == 0.001
    assert experiment.transfer.gradual is True
    assert experiment.train.class_weights == {"1": 2.0, "no": 1.0}
    assert load_experiment(write("name: off\ndata: {uri: no, cache: on}\nmodel: {name: m}\n")).data.cache == "on"


FIVE = """\
name: trash
data:
  uri: photos
  val_fraction: 15
model:
  name: resnet18
  weigths: pretrained
transfer: {unfreeze: two}
train:
  precision: fp23
  accumulate: 100
  batch_size: 64
"""


def test_five_mistakes_are_five_problems_with_lines_and_suggestions() -> None:
    assert problems(FIVE) == [
        "x.yaml:4: data.val_fraction: found 15; expected a number of at least 0 and below 1",
        "-> did you mean 0.15? It is a fraction, not a percentage",
        "x.yaml:7: model.weigths: unknown key; the keys in model are name, weights, channels, stem, dropout, drop_path, batch_norm, head, neck, preprocess",
        "-> did you mean 'weights'?",
        "x.yaml:8: transfer.unfreeze: found the text 'two'; expected a whole number of at least 0, or all",
        "-> unfreeze: Number of stages that are trained, from the top. 0 = head only (feature extraction), all = full fine-tuning.",
        "x.yaml:10: train.precision: found the text 'fp23'; expected auto, fp32, bf16 or fp16",
        "-> did you mean 'fp32'?",
        "x.yaml:11: train.accumulate: found 100, and train.batch_size is 64: a micro-batch would be empty",
        "-> train.batch_size is the global batch, which train.accumulate divides; lower one or raise the other",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nmodel: {name: m}\n", "x.yaml:1: data: missing; expected a section with the keys uri"),
        ("name: a\ndata:\nmodel: {name: m}\n", "x.yaml:2: data.uri: missing; expected text"),
        ("name: a/b\ndata: {uri: x}\nmodel: {name: m}\n", "x.yaml:1: name: found the text 'a/b'; expected text"),
        ("name: 2024\ndata: {uri: x}\nmodel: {name: m}\n", "x.yaml:1: name: found 2024; expected text"),
        ("name: a\ndata: 5\nmodel: {name: m}\n", "x.yaml:2: data: found 5; expected a section"),
        (HEAD + "train: {seed: true}\n", "x.yaml:4: train.seed: found true; expected a whole number"),
        (HEAD + "train: {epochs: 1.5}\n", "x.yaml:4: train.epochs: found 1.5; expected a whole number of at least 1"),
        (HEAD + "train: [1]\n", "x.yaml:4: train: found a list of 1; expected a section"),
        (HEAD + "optim: {ema: none}\n", "x.yaml:4: optim.ema: found the text 'none'; expected a number above 0"),
        (HEAD + "optim: {lr: .nan}\n", "x.yaml:4: optim.lr: found nan; expected a number above 0"),
        (HEAD + "data: {uri: y}\n", "x.yaml:4: data: given twice, on lines 2 and 4"),
        (HEAD + "storage: {uri: '${NOPE}'}\n", "x.yaml:4: storage.uri: the environment variable NOPE is not set"),
        (HEAD + "data_: 1\n", "x.yaml:4: data_: unknown key; the keys at the top level are name, task, recipe, data"),
        (HEAD + "train: {class_weights: {cat: x}}\n", "x.yaml:4: train.class_weights.cat: found the text 'x'"),
        (HEAD + "model: {preprocess: {mean: [1]}}\n", "x.yaml:4: model: given twice"),
        (HEAD + "data: {cache: true}\n", "x.yaml:4: data: given twice"),
        (
            HEAD + "transfer: {unfreeze: 0, lr_decay: 0.6}\n",
            "x.yaml:4: transfer.lr_decay: cannot take effect: transfer.unf",
        ),
        (HEAD + "transfer: {unfreeze: 0, gradual: true}\n", "x.yaml:4: transfer.gradual: cannot take effect"),
        (
            HEAD + "train: {focal_gamma: 2}\n",
            "x.yaml:4: train.focal_gamma: cannot take effect: train.loss is cross_ent",
        ),
    ],
)
def test_a_mistake_is_reported(text: str, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("name: 2024\ndata: {uri: x}\nmodel: {name: m}\n", "-> put it in quotes: '2024'"),
        ("name: a\ndata: {uri: x, cache: true}\nmodel: {name: m}\n", "-> did you mean 'on'?"),
        ("name: a\ndata: {uri: x}\nmodel: {name: m, weights: null}\n", "-> weights: pretrained, none"),
        (HEAD + "train: {class_weights: null}\n", "-> did you mean 'none'?"),
        (HEAD + "optim: {ema: none}\n", "-> write null to switch it off"),
        (HEAD + "optim: {schedule: Cosin}\n", "-> did you mean 'cosine'?"),
    ],
)
def test_a_mistake_comes_with_advice(text: str, advice: str) -> None:
    assert problems(text)[1].startswith(advice)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["optim.lrr=1"], "--set optim.lrr: unknown key; the keys in optim are name, lr"),
        (["optim.lr=fast"], "--set optim.lr: found the text 'fast'; expected a number above 0"),
        (["optim.lr.x=1"], "--set optim.lr.x: optim.lr: found a mapping with the keys x"),
        (["a.b.c=1"], "--set a.b.c: a: unknown key"),
        (["train.focal_gamma=3"], "--set train.focal_gamma: cannot take effect: train.loss is cross_entropy"),
        (["compute.cluster=none", "compute.workers=2"], "--set compute.workers: found 2, and compute.cluster is none"),
        (["train.batch_size="], "--set train.batch_size: found nothing (null); expected a whole number"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(overrides: list[str], expected: str) -> None:
    assert problems(HEAD, *overrides)[0].startswith(expected)


def test_overrides_come_before_the_check() -> None:
    experiment = load_experiment(write(HEAD + "train: {epochs: none}\n"), ["train.epochs=3", "optim.clip_norm=null"])
    assert experiment.train.epochs == 3
    assert experiment.optim.clip_norm is None


def test_the_last_override_of_a_key_counts() -> None:
    assert load_experiment(write(HEAD), ["train.epochs=3", "train.epochs=5"]).train.epochs == 5


def test_overrides_may_be_values_by_key() -> None:
    assert load_experiment(write(HEAD), {"train.epochs": 3, "augment": {"strength": 1}}).augment.strength == 1
    with pytest.raises(ConfigError, match=r"\n  override train.epochs: found 0; expected a whole number"):
        load_experiment(write(HEAD), {"train.epochs": 0})


def test_an_override_that_makes_a_key_of_the_file_idle_is_no_mistake() -> None:
    path = write(HEAD + "transfer: {unfreeze: 2, lr_decay: 0.5, head_lr_ratio: 20}\n")
    transfer = load_experiment(path, ["transfer.unfreeze=0"]).transfer
    assert (transfer.unfreeze, transfer.lr_decay) == (0, 0.6)
    with pytest.raises(ConfigError, match=r"--set transfer.lr_decay: cannot take effect"):
        load_experiment(path, ["transfer.unfreeze=0", "transfer.lr_decay=0.5"])


def test_all_invalid_overrides_are_reported() -> None:
    with pytest.raises(ConfigError, match=r"--set lr: expected a\.b=value.*\n--set =3: expected a\.b=value"):
        load_experiment(write(HEAD), ["lr", "=3"])


def test_the_environment_and_the_home_directory_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.setenv("EPOCHS", "7")
    text = (
        "name: a\ndata: {uri: ~/photos}\nmodel: {name: m}\ntrain: {epochs: '${EPOCHS}'}\nstorage: {uri: '${O:-out}'}\n"
    )
    experiment = load_experiment(write(text))
    assert (experiment.data.uri, experiment.train.epochs, experiment.storage.uri) == ("/home/ana/photos", 7, "out")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty; expected an experiment with at least name, data and model"),
        (b"- a\n", r"x.yaml:1: found list, expected keys such as `name: my-run`"),
        (b"\xff\xfe", r"not UTF-8 text \(byte 0\)"),
        (b"name: a\n\tdata: b\n", r"x.yaml:2: not YAML: .*\n    -> indent with spaces"),
    ],
)
def test_what_is_no_experiment_is_refused(content: bytes, expected: str) -> None:
    Path("x.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        load_experiment("x.yaml")


def test_a_file_that_is_not_there_is_refused_with_a_near_one() -> None:
    write(HEAD, "trash.yaml")
    with pytest.raises(ConfigError, match=re.escape("trsh.yaml: no such experiment file; did you mean trash.yaml?")):
        load_experiment("trsh.yaml")
    with pytest.raises(ConfigError, match="the folder experimnts does not exist either"):
        load_experiment("experimnts/trash.yaml")


def test_a_run_folder_is_led_to_its_experiment() -> None:
    Path("runs").mkdir()
    with pytest.raises(ConfigError, match="found a folder, expected an experiment file; name a YAML file in it"):
        load_experiment("runs")
    write(HEAD, "runs/experiment.yaml")
    with pytest.raises(ConfigError, match=r"this is a run; its experiment is runs/experiment\.yaml"):
        load_experiment("runs")


def test_a_byte_order_mark_is_read_over() -> None:
    Path("x.yaml").write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert load_experiment("x.yaml").name == "trash"


def test_problems_come_in_the_order_of_the_file_then_the_overrides() -> None:
    places = [
        line.split(":")[1] for line in problems("zz: 1\n" + HEAD + "yy: 1\n", "xx=1") if not line.startswith("->")
    ]
    assert places[:2] == ["1", "5"]
    assert problems("zz: 1\n" + HEAD, "xx=1")[-2].startswith("--set xx: unknown key")


def test_a_default_gives_way_to_what_is_set() -> None:
    short = load_experiment(write(HEAD + "recipe: none\ntrain: {epochs: 1}\n"))
    assert (short.train.epochs, short.transfer.head_first, short.optim.warmup) == (1, 0, 0.5)
    late = load_experiment(write(HEAD + "recipe: none\ntransfer: {head_first: 20}\n"))
    assert (late.train.epochs, late.transfer.head_first) == (21, 20)
    many = load_experiment(write(HEAD + "recipe: none\ntrain: {accumulate: 100}\n"))
    assert many.train.batch_size == 100


def test_what_gives_way_is_left_to_the_recipe_that_chooses_it() -> None:
    assert "head_first" not in load_experiment(write(HEAD + "train: {epochs: 1}\n")).transfer.model_fields_set


def test_a_mistake_in_one_key_does_not_make_others_of_the_keys_beside_it() -> None:
    found: list[Any] = problems(
        HEAD + "compute: {cluster: none, workers: many}\ntransfer: {head_first: 99}\ntrain: {epochs: 9}\n"
    )
    assert [line.split(": ")[1] for line in found if not line.startswith("->")] == [
        "compute.workers",
        "transfer.head_first",
    ]


EXAMPLE = """\
name: trash-mobilenetv2
task: classification
data:
  uri: s3://bucket/trash/
  val_fraction: 0.15
  test_fraction: 0.15
model:
  name: mobilenetv2_100
  weights: pretrained
transfer:
  unfreeze: 2
  lr_decay: 0.6
  head_lr_ratio: 10
  head_first: 1 epoch
augment: {strength: 0.5}
optim:   {name: adamw, lr: 1e-3, weight_decay: 0.05}
train:   {epochs: 12, batch_size: 64, early_stop: 4, precision: auto, seed: 0}
compute: {workers: 1, device: auto}
storage: {uri: runs/}
"""


@pytest.mark.parametrize("depth", ["0", "2", "all"])
def test_the_example_is_read_at_every_depth(depth: str) -> None:
    experiment = load_experiment(write(EXAMPLE), [f"transfer.unfreeze={depth}", "compute.workers=2"])
    assert str(experiment.transfer.unfreeze) == depth
    assert (experiment.optim.lr, experiment.transfer.head_first, experiment.compute.workers) == (0.001, 1, 2)
