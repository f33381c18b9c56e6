from __future__ import annotations

from pathlib import Path

import pytest

from raytl.advice.candidates import LIGHT, Candidate, default_candidates, named_candidates
from raytl.config.schema import ModelConfig
from raytl.errors import ModelError
from raytl.store.s3_settings import ENVIRONMENT
from tests.search.conftest import write_weights


def _one(text: str, model: str | None = None) -> Candidate:
    (candidate,) = named_candidates([text], model, ENVIRONMENT)
    return candidate


def test_a_model_stands_for_its_pretrained_weights() -> None:
    assert _one("resnet18") == Candidate("resnet18", "resnet18", "pretrained")
    assert _one("torchvision:resnet18").model == "torchvision:resnet18"
    assert _one("resnet18.a1_in1k").label == "resnet18.a1_in1k"


def test_a_model_with_a_file_has_its_weights() -> None:
    candidate = _one("test_resnet=some/weights.pth")
    assert (candidate.model, candidate.weights, candidate.label) == ("test_resnet", "some/weights.pth", "weights.pth")


def test_a_file_is_of_the_model_that_it_is_named_after_or_of_the_one_given(tmp_path: Path) -> None:
    file = write_weights(tmp_path)
    named = file.rename(tmp_path / "test_resnet_photos.v2.safetensors")
    assert _one(str(named)).model == "test_resnet"
    assert _one(str(named), "test_vit").model == "test_vit"
    other = named.rename(tmp_path / "mine.safetensors")
    with pytest.raises(
        ModelError, match=rf"--weights {other}: its model is unknown; expected MODEL={other}, or --model"
    ):
        _one(str(other))


def test_all_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)'': found no source weights.*no file .*missing.pth.*'none'"):
        named_candidates(["", str(tmp_path / "missing.pth"), "none"], None, ENVIRONMENT)


def test_a_candidate_that_is_named_twice_counts_once() -> None:
    assert len(named_candidates(["resnet18", "resnet18"], None, ENVIRONMENT)) == 1


def test_the_defaults_are_the_model_of_the_experiment_and_light_ones() -> None:
    assert [each.model for each in default_candidates(ModelConfig(name=LIGHT[1]))] == [LIGHT[1], LIGHT[0], *LIGHT[2:]]
    own = default_candidates(ModelConfig(name=LIGHT[0], weights="a.pth"))
    assert [each.label for each in own] == ["a.pth", *LIGHT]
    assert [each.model for each in default_candidates(ModelConfig(name="x", weights="none"))] == list(LIGHT)
