"""build: one face for every library and every source of weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models import timm_family
from raytl.models.backbone import build, is_convolutional, native_px, overridden, preprocess_of
from raytl.models.saved_model import Card, load_model, save_model
from raytl.models.weights import state_digest

BASE = Preprocess(224, 256, "center", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def config(name: str, weights: str | Path = "none", **options: float) -> ModelConfig:
    return ModelConfig(name=name, weights=str(weights), **options)


@pytest.mark.parametrize("name", ["test_resnet", "torchvision:shufflenet_v2_x0_5"])
def test_a_backbone_maps_images_to_its_classes(name: str) -> None:
    built = build(config(name), 7)
    assert built.module(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert (built.name, built.weights_digest) == (name, "none")
    assert sum(built.sizes.values()) == sum(p.numel() for p in built.module.parameters())
    assert [*built.sizes][:: len(built.stages)] == ["stem", "head"]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_gives_the_trunk_and_the_head_starts_anew(tmp_path: Path, suffix: str) -> None:
    state = build(config("test_resnet"), 3).module.state_dict()
    path = tmp_path / f"w.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    for classes in (3, 5):
        built = build(config("test_resnet", path), classes)
        own = built.module.state_dict()
        assert all(torch.equal(own[n], t) for n, t in state.items() if n not in built.head)
        assert not torch.equal(own["fc.weight"][:3], state["fc.weight"][:3])
        assert built.weights_digest == state_digest(state)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_file(build(config("test_resnet"), 3).module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"w.safetensors does not match this architecture:\n  \d+ missing: cls_token"):
        build(config("test_vit", tmp_path / "w.safetensors"), 3)


def test_a_vits_file_fits_another_image_size(tmp_path: Path) -> None:
    save_file(build(config("test_vit"), 3).module.state_dict(), tmp_path / "w.safetensors")
    small = config("test_vit", tmp_path / "w.safetensors").model_copy(
        update={"preprocess": PreprocessOverride(image_px=64)}
    )
    assert build(small, 3).module(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_a_prefix_is_found_where_the_library_resizes_tensors_too(tmp_path: Path) -> None:
    state = build(config("test_vit"), 3).module.state_dict()
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}}, tmp_path / "w.ckpt")
    built = build(
        config("test_vit", tmp_path / "w.ckpt").model_copy(update={"preprocess": PreprocessOverride(image_px=64)}), 3
    )
    assert torch.equal(built.module.state_dict()["cls_token"], state["cls_token"])
    assert "without the prefix 'model.'" in built.notes[0]


def run_folder(root: Path, name: str = "test_resnet") -> tuple[Path, Card]:
    """A run's best checkpoint, with preprocessing that is not the architecture's own."""
    built = build(config(name), 3)
    preprocess = replace(built.preprocess, image_px=64, resize_px=70, mean=(0.1, 0.2, 0.3))
    card = Card(name, ("a", "b", "c"), preprocess, "none")
    return root, save_model(root / "checkpoints" / "best", built.module, card)


def test_a_run_gives_its_tensors_and_its_preprocessing(tmp_path: Path) -> None:
    run, card = run_folder(tmp_path / "run")
    built = build(config("test_resnet", run), 5)
    assert built.preprocess == card.preprocess == preprocess_of(config("test_resnet", run))
    assert built.weights_digest == card.digest
    assert built.module(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_a_run_of_another_model_is_refused_and_named(tmp_path: Path) -> None:
    run, _ = run_folder(tmp_path / "run")
    with pytest.raises(ModelError, match=r"run .of test_resnet. does not match this architecture"):
        build(config("torchvision:resnet18", run), 3)


def test_other_tensors_than_those_of_the_card_are_no_start(tmp_path: Path) -> None:
    """Of a run, or of a warm-up below it."""
    run, _ = run_folder(tmp_path / "run/warmup")
    place = run / "checkpoints/best/model.safetensors"
    tensors = load_file(place)
    tensors["fc.bias"] += 1
    save_file(tensors, place)
    with pytest.raises(
        ModelError, match=r"model.weights: .*model.safetensors does not match the digest in model.json; copy"
    ):
        build(config("test_resnet", run), 5)


def test_overrides_of_the_preprocessing_come_last() -> None:
    assert overridden(BASE, PreprocessOverride()) == BASE
    assert overridden(BASE, PreprocessOverride(image_px=112)) == replace(BASE, image_px=112, resize_px=128)
    assert overridden(BASE, PreprocessOverride(crop_fraction=1.0)).resize_px == 224
    assert overridden(BASE, PreprocessOverride(image_px=100, crop_fraction=0.9)).resize_px == 111
    assert overridden(BASE, PreprocessOverride(image_px=(320, 240))) == BASE.fit((320, 240))
    assert overridden(BASE.fit((320, 240)), PreprocessOverride(image_px=96)) == BASE.fit((96, 96))
    assert overridden(BASE.fit((320, 240)), PreprocessOverride()) == BASE.fit((320, 240))
    changed = overridden(BASE, PreprocessOverride(mean=(0, 0, 0), std=(1, 1, 1), interpolation="nearest"))
    assert (changed.mean, changed.std, changed.interpolation) == ((0, 0, 0), (1, 1, 1), "nearest")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ({"image_px": (320, 5000)}, "image_px: found 5000; expected a number from 8 to 4,096 pixels"),
        ({"image_px": 5000}, "image_px: found 5000; expected a number from 8 to 4,096 pixels"),
        ({"image_px": 1000, "crop_fraction": 0.1}, "resize_px: found 10000; expected a number from 1 to 8,192 pixels"),
        ({"std": (0.0, 1.0, 1.0)}, r"std.0: found 0\.0; expected a number from 1e-06 to 1,000"),
    ],
)
def test_a_model_is_not_trained_that_could_not_be_read_again(override: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=rf"model\.preprocess: {problem}\. Change model\.preprocess"):
        overridden(BASE, PreprocessOverride(**override))


def test_an_unknown_library_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"keras: is not a supported library; write a timm name or torchvision:"):
        build(config("keras:resnet50"), 3)


def test_convolutional_networks_are_told_from_transformers() -> None:
    with torch.device("meta"):
        digests = {
            n: build(config(n), 3).convolutional
            for n in ("test_resnet", "test_convnext", "test_vit", "mobilenetv2_100")
        }
    assert digests == {"test_resnet": True, "test_convnext": True, "test_vit": False, "mobilenetv2_100": True}


def test_plain_layers_do_not_count_as_convolutional() -> None:
    assert not is_convolutional(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("old", "name"), [("mnasnet_b1", "mnasnet_100"), ("tf_efficientnet_b0_ns", "tf_efficientnet_b0.ns_jft_in1k")]
)
def test_an_old_name_builds_todays_model_and_says_so(old: str, name: str, tmp_path: Path) -> None:
    built = build(config(old), 2)
    assert built.name == name
    assert built.notes == (f"model.name: timm renamed {old!r} to {name!r}; using the new name",)
    assert built.preprocess == preprocess_of(config(name))
    for stored in (old, name):  # as a run's card has it, from this version or an earlier one
        save_model(tmp_path / stored, built.module, Card(stored, ("a", "b"), built.preprocess, "none"))
        assert load_model(tmp_path / stored)[1].model == stored


def test_a_library_s_own_prefix_stays_in_the_name() -> None:
    built = build(config("torchvision:shufflenet_v2_x0_5"), 2)
    assert (built.name, built.notes) == ("torchvision:shufflenet_v2_x0_5", ())


def test_the_native_size_is_the_models_whatever_is_set() -> None:
    small = config("inception_v3").model_copy(update={"preprocess": PreprocessOverride(image_px=64)})
    assert native_px(small) == 299


def test_the_seed_decides_the_new_head() -> None:
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(build(config("test_resnet"), 3).module.state_dict()["fc.weight"])
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "file", "mean"),
    [
        ("mobilenetv2_100", "mobilenetv2_100_tv.safetensors", (0.485, 0.456, 0.406)),
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224.safetensors", (0.5, 0.5, 0.5)),
    ],
)
def test_real_weights_load_with_their_own_preprocessing(
    assets: Path, name: str, file: str, mean: tuple[float, ...]
) -> None:
    built = build(config(name, assets / "weights" / file), 6)
    assert built.preprocess.mean == mean
    assert (built.preprocess.image_px, built.preprocess.interpolation) == (224, "bicubic")
    assert all(t.dtype != torch.float16 for t in built.module.state_dict().values())
    with torch.inference_mode():
        features = built.module.eval().forward_features(torch.zeros(1, 3, 224, 224))  # type: ignore[operator]
    assert features.isfinite().all() and features.std() > 0.1


def test_a_crop_fraction_beside_a_frame_is_an_error() -> None:
    with pytest.raises(
        ModelError, match=r"^model.preprocess.crop_fraction: found 0.9; expected none, as .* Remove the key"
    ):
        overridden(BASE, PreprocessOverride(image_px=(320, 240), crop_fraction=0.9))


def save_as_pruned(folder: Path, name: str, stored: str) -> None:
    """Write a saved model whose card says that it is pruned, with random weights of the network `name`."""
    built = build(config(name), 3)
    preprocess = replace(built.preprocess, image_px=32, resize_px=32)
    save_model(folder, built.module, Card(stored, ("a", "b", "c"), preprocess, "none", pruned=0.3))


def test_a_pruned_model_is_no_backbone_of_another_architecture(tmp_path: Path) -> None:
    save_as_pruned(tmp_path, "lcnet_035", "lcnet_035")
    text = r"is a pruned lcnet_035, and model.name is lcnet_050; .* Set model.name to the architecture of the weights"
    with pytest.raises(ModelError, match=text):
        build(config("lcnet_050", tmp_path), 3)


def test_a_pruned_model_is_a_backbone_of_its_architecture_under_all_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm_family, "get_deprecated_models", lambda: {"former_resnet": "test_resnet"})
    save_as_pruned(tmp_path, "test_resnet", "former_resnet")
    assert build(config("test_resnet.r160_in1k", tmp_path), 2).pruned == 0.3
