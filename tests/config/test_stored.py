"""A stored experiment is a recipe: no environment, no settings, bounded, and every fault by object, line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raytl.config.dump import to_yaml
from raytl.config.fingerprint import differences
from raytl.config.machine import ALONE, SETTINGS, Machine
from raytl.config.override import override
from raytl.config.schema import ComputeConfig, DataConfig, DataIdentity, Experiment, Recipe, StorageConfig
from raytl.config.stored import MOST_BYTES, on_this_machine, read_stored, stored_experiment
from raytl.errors import ConfigError

BASE = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})
HEAD = "name: a\ndata: {uri: x}\nmodel: {name: m}\n"


def test_what_was_written_reads_back_as_the_same_recipe() -> None:
    changed = override(
        BASE,
        {"transfer.unfreeze": 0, "data.uri": "a${b}.zip", "data.zip_encoding": "gbk", "model.preprocess.image_px": 64},
    )
    found = read_stored(to_yaml(changed).encode(), "run")
    assert differences(found.recipe, changed) == []
    assert found.recipe.data.uri == "a${b}.zip"
    assert found.recipe.data.zip_encoding == "gbk"
    assert found.unknown == ()


def test_a_key_newer_than_a_stored_run_is_no_difference_to_it() -> None:
    text = to_yaml(override(BASE, {"transfer.unfreeze": 3}))
    old = read_stored(re.sub("(?m)^( *fallback|calibrate): .*\n", "", text).encode(), "run").recipe
    now = override(BASE, {"transfer.unfreeze": 3, "calibrate": "none", "transfer.fallback": "off"})
    new = read_stored(to_yaml(now).encode(), "run").recipe
    assert differences(old, now) == differences(old, new) == differences(new, old) == []
    assert differences(new, BASE) == [
        "transfer.unfreeze: 3 -> 2",
        "transfer.fallback: off -> auto",
        "calibrate: none -> temperature",
    ]


def test_a_recipe_has_no_settings_of_a_machine() -> None:
    found = read_stored((HEAD + "compute: {cluster: 'h:1'}\nstorage: {profile: p}\nretrain: {keep: 3}\n").encode(), "r")
    assert not {"compute", "storage", "search", "retrain"} & set(type(found.recipe).model_fields)
    assert found.settings == {"compute.cluster": "h:1", "storage.profile": "p", "retrain.keep": 3}


def test_an_experiment_on_this_machine_has_the_settings_of_the_machine_and_needs_no_cluster() -> None:
    text = HEAD + "compute: {cluster: 'h:1', workers: 4}\nstorage: {profile: p}\noptim: {lr: 0.5}\n"
    machine = Machine(storage=StorageConfig(profile="own"), compute=ComputeConfig(device="cpu"), max_pixels=7)
    here = on_this_machine(read_stored(text.encode(), "r").recipe, machine)
    assert (here.optim.lr, here.storage.profile, here.data.max_pixels) == (0.5, "own", 7)
    assert (here.compute.cluster, here.compute.workers, here.compute.device) == ("none", 1, "cpu")


def test_each_key_of_the_data_is_its_identity_or_a_setting() -> None:
    assert set(DataConfig.model_fields) - set(DataIdentity.model_fields) == {
        "max_pixels", "cache", "cache_limit_gb", "pull_limit_gb", "stream", "loader_workers",
    }  # fmt: skip
    assert set(Experiment.model_fields) - set(Recipe.model_fields) == {"compute", "storage", "search", "retrain"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("m}", "'${KEY}'}"), r"run:3: model\.name: found '\$\{KEY\}', and a stored experiment reads nothing"),
        (HEAD.replace("m}", "'${KEY:-x}'}"), r"run:3: model\.name: found '\$\{KEY:-x\}'"),
        (HEAD + "optim: {lr: fast}\n", r"run:4: optim\.lr: found the text 'fast'; expected a number"),
        (HEAD + "train: 5\n", r"run:4: train: found 5; expected a section"),
        (HEAD + "train: {class_weights: {a: x}}\n", r"run:4: train\.class_weights\.a: found the text 'x'"),
        (HEAD + "train: {epochs: true}\n", r"run:4: train\.epochs: found true"),
        (HEAD + "name: b\n", r"run:4: name: given twice, on lines 1 and 4"),
        (HEAD.replace("x}", "x.zip, zip_encoding: zip}"), r"run:2: data\.zip_encoding: found 'zip', which is not a text"),
        (HEAD.replace("name: a", "name: ../a"), r"run:1: name: found the text '\.\./a'"),
        ("data: {uri: x}\n", r"run: 2 problems\n.*name: missing"),
        (HEAD.replace("m}", "!!python/name:os.system ''}"), r"run:3: the tag"),
        (HEAD.replace("m}", '"\\ud800"}'), r"run:3: model\.name: found an unpaired surrogate"),
        (HEAD.replace("m}", '"\\UFFFFFFFF"}'), r"run: .*not a character"),
        (HEAD.replace("m}", f"{'m' * 5000}}}"), r"run:3: model\.name: found a text of 5000 characters; expected 4096"),
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcde", "bcdef", strict=True)
        ), r"more than 20000 values"),
        ("a: " + "{a: " * 330 + "}" * 330, r"run: values are nested too deeply"),
        ("a: " + "[" * 5000, r"run: .*(nested too deeply|not YAML)"),
        ("- a\n", r"run:1: found list, expected keys"),
        ("", r"run: the file is empty"),
        ("a" * (MOST_BYTES + 1), r"run: larger than 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_object_and_the_key(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "m4rk3d")
    with pytest.raises(ConfigError, match=said) as caught:
        read_stored(text.encode(), "run")
    assert "m4rk3d" not in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"run: not UTF-8 text \(byte 1\)"):
        read_stored(b"a\xff", "run")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"experiment\.yaml: cannot be read: No such file"):
        stored_experiment(tmp_path / "experiment.yaml")


def test_keys_of_other_versions_are_listed() -> None:
    text = HEAD + "optim: {lr: 0.01, lookahead: 5}\nserving: {port: 1}\n"
    found = read_stored(text.encode(), "run")
    assert found.unknown == ("optim.lookahead", "serving")
    assert found.recipe.optim.lr == 0.01


def test_many_problems_are_counted() -> None:
    weights = "".join(f"    c{i}: x\n" for i in range(100))
    with pytest.raises(ConfigError, match=r"and 80 more problems"):
        read_stored((HEAD + f"train:\n  class_weights:\n{weights}").encode(), "run")


def test_a_setting_that_is_in_force_or_a_default_is_not_mentioned() -> None:
    found = read_stored(to_yaml(override(BASE, {"storage.endpoint_url": "http://h:1"})).encode(), "run")
    assert found.ignored(Machine(storage=StorageConfig(endpoint_url="http://h:1")), ALONE) == ""
    assert found.ignored(Machine(), ALONE) == (
        "the run was made with storage.endpoint_url http://h:1; ignored, because a run changes no setting of this machine; "
        "pass --set storage.endpoint_url=http://h:1 to use it"
    )


def test_the_words_to_paste_are_quoted_and_hold_no_password() -> None:
    text = HEAD + "storage: {profile: 'a; rm -rf $HOME', endpoint_url: 'http://me:s3cr3t@h'}\n"
    line = read_stored(text.encode(), "run").ignored(Machine(), SETTINGS)
    assert "--set 'storage.profile=a; rm -rf $HOME'" in line
    assert "s3cr3t" not in line
