"""Saved models: what is written is what comes back, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.errors import ModelError
from raytl.models.backbone import build
from raytl.models.card import CARD_FORMAT
from raytl.models.forward import is_channels_last
from raytl.models.freeze import apply_freeze
from raytl.models.predict_score import predict_score_of
from raytl.models.saved_model import Card, digest, load_model, save_model
from raytl.models.temperature import temperature_of

CLASSES = ("a", "b b", "ü")


def saved(folder: Path, name: str = "test_resnet", px: int = 64) -> tuple[torch.nn.Module, Card]:
    built = build(ModelConfig(name=name, weights="none", preprocess=PreprocessOverride(image_px=px)), len(CLASSES))
    apply_freeze(built, 1)
    card = save_model(folder, built.module, Card(name, CLASSES, built.preprocess, built.weights_digest))
    return built.module, card


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "torchvision:mobilenet_v3_small"])
def test_a_saved_model_comes_back_with_the_same_logits(tmp_path: Path, name: str) -> None:
    module, card = saved(tmp_path, name)
    loaded, loaded_card = load_model(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    assert loaded_card == card and not loaded.training
    with torch.inference_mode():
        assert torch.allclose(loaded(images), module.eval()(images), atol=1e-5)
    assert is_channels_last(loaded) == (name != "test_vit")


def test_loading_leaves_the_generator_alone(tmp_path: Path) -> None:
    saved(tmp_path)
    state = torch.get_rng_state()
    load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_saved_temperature_comes_back_and_leaves_the_tensors_alone(tmp_path: Path) -> None:
    module, card = saved(tmp_path / "plain")
    save_model(tmp_path / "calibrated", module, replace(card, temperature=1.5))
    (plain, _), (calibrated, read) = (load_model(tmp_path / name) for name in ("plain", "calibrated"))
    assert (temperature_of(plain), temperature_of(calibrated), read.temperature) == (1.0, 1.5, 1.5)
    assert read.digest == card.digest


def test_a_saved_score_comes_back_and_a_model_without_one_has_the_former_default(tmp_path: Path) -> None:
    module, card = saved(tmp_path / "plain")
    save_model(tmp_path / "chosen", module, replace(card, predict_score=0.6))
    (plain, _), (chosen, read) = (load_model(tmp_path / name) for name in ("plain", "chosen"))
    assert (predict_score_of(plain), predict_score_of(chosen), read.predict_score) == (0.3, 0.6, 0.6)


def test_a_runs_best_checkpoint_is_its_model(tmp_path: Path) -> None:
    _, card = saved(tmp_path / "checkpoints" / "best")
    assert load_model(tmp_path)[1] == card
    assert digest(tmp_path) == card.digest


def test_channels_last_and_shared_tensors_are_saved(tmp_path: Path) -> None:
    built = build(ModelConfig(name="test_resnet", weights="none"), 3)
    module = built.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.layer4[0].bn1.weight = module.layer4[0].bn2.weight
    save_model(tmp_path, module, Card("test_resnet", CLASSES, built.preprocess, "none"))
    loaded, _ = load_model(tmp_path)
    assert torch.equal(loaded.state_dict()["conv1.0.weight"], module.state_dict()["conv1.0.weight"])


def test_the_tensors_carry_the_card_too(tmp_path: Path) -> None:
    _, card = saved(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert CARD_FORMAT.read(file.metadata()["raytl"].encode(), "") == card


def test_other_tensors_than_the_cards_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["fc.bias"] += 1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"model.safetensors does not match the digest in model.json"):
        load_model(tmp_path)


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    _, card = saved(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**card.to_json(), "model": "test_convnext"}), encoding="utf-8")
    with pytest.raises(ModelError, match="does not fit test_convnext as this version builds it"):
        load_model(tmp_path)


def test_missing_or_torn_tensors_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read"):
        load_model(tmp_path)
    path.unlink()
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read"):
        digest(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a saved model: it has no model.json"):
        load_model(tmp_path)
