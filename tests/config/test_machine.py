"""Settings of this machine, as the command line gives them."""

from __future__ import annotations

import pytest

from raytl.config.load import load_machine
from raytl.config.machine import ALONE, SETTINGS, Machine, as_assignments, assignment, default, storage_options
from raytl.config.override import override, parse_assignment
from raytl.config.schema import Experiment
from raytl.errors import ConfigError

BASE = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})


def test_settings_are_read_as_in_an_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    found = load_machine(["storage.endpoint_url=http://h:${PORT}", "compute.device=cpu", "data.max_pixels=100"])
    assert found.storage.endpoint_url == "http://h:9000"
    assert (found.compute.device, found.max_pixels, found.compute.cluster) == ("cpu", 100, "local")
    assert load_machine() == load_machine({}) == Machine()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optim.lr=1"], r"--set optim\.lr: not a machine setting; expected storage\.\*"),
        (["storage.uri=x"], r"--set storage\.uri: not a setting"),
        (["compute.workers=2"], r"--set compute\.workers: not a setting"),
        (["storage.endpoint=x"], r"did you mean storage\.endpoint_url\?"),
        (["compute.device=tpu"], r"--set compute\.device: found the text 'tpu'; expected auto, cpu or cuda"),
        (["data.max_pixels=0"], r"--set data\.max_pixels: found 0"),
    ],
)
def test_anything_else_is_an_error(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_machine(words)


def test_settings_that_need_workers_are_named() -> None:
    with pytest.raises(ConfigError, match=r"compute\.cluster, compute\.timeout_s: cannot take effect"):
        load_machine(["compute.cluster=auto", "compute.timeout_s=5"]).check_alone()
    load_machine(["compute.device=cpu", "storage.profile=p"]).check_alone()


def test_the_settings_of_an_experiment_are_words_that_give_them_again() -> None:
    changed = override(
        BASE, {"storage.endpoint_url": "http://h:1", "storage.anonymous": True, "storage.profile": "1e3", "compute.cluster": "h:1"}
    )  # fmt: skip
    words = as_assignments(changed)
    assert words == ["storage.endpoint_url=http://h:1", 'storage.profile="1e3"', "storage.anonymous=true"]
    again = load_machine(words)
    assert [again.value(key) for key in ALONE] == [Machine.of(changed).value(key) for key in ALONE]
    assert as_assignments(BASE) == []
    assert storage_options(changed) == ["--endpoint-url", "http://h:1", "--profile", "1e3", "--anonymous"]
    assert storage_options(override(BASE, {"storage.region": "x"})) == ["--set", "storage.region=x"]
    assert storage_options(BASE) == []


@pytest.mark.parametrize("value", ["null", "[x", "'", " x ", "a: b", "true", 1.5, None, False])
def test_an_assignment_reads_back_as_its_value(value: object) -> None:
    assert parse_assignment(assignment("storage.profile", value)) == ("storage.profile", value)


def test_each_setting_has_a_default() -> None:
    assert {key: default(key) for key in SETTINGS} == {key: Machine.of(BASE).value(key) for key in SETTINGS}
