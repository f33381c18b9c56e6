"""Networks without some of their channels: what is removed, what comes back, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from raytl.config.override import override
from raytl.config.schema import ModelConfig
from raytl.config.stored import on_this_machine
from raytl.errors import ModelError, UserError
from raytl.events import Message, Recorder, ignore
from raytl.exporting.compress import prune
from raytl.exporting.compress.distill import Distillation, student_changes
from raytl.exporting.compress.prune import check_fractions, pruned, write_pruned
from raytl.exporting.trained_run import open_run
from raytl.models.backbone import build
from raytl.models.card import WEIGHTS, Card
from raytl.models.heads import inherit
from raytl.models.saved_model import save_model
from raytl.tasks.saved import Saved, load_saved
from tests.cli.conftest import Raytl

CLASSES = ("a", "b", "c")


def saved(folder: Path, name: str, px: int = 32) -> Saved:
    """Return a saved model with random weights."""
    torch.manual_seed(0)
    built = build(ModelConfig(name=name, weights="none"), 3)
    preprocess = replace(built.preprocess, image_px=px, resize_px=px)
    save_model(folder, built.module, Card(name, CLASSES, preprocess, "none"))
    return load_saved(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pruned network, which no test changes."""
    folder = tmp_path_factory.mktemp("pruned")
    return write_pruned(saved(folder / "whole", "test_resnet"), 0.3, folder / "small", ignore)


def test_a_pruned_model_is_smaller_and_comes_back_with_its_answers(small: Path) -> None:
    whole, again = load_saved(small.parent / "whole"), load_saved(small)
    expected = pruned(whole, 0.3)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(again.module(images), expected(images), atol=1e-5)
    sizes = [sum(each.numel() for each in part.module.parameters()) for part in (again, whole)]
    assert again.card.pruned == 0.3 and sizes[0] < 0.6 * sizes[1]
    assert all(each.weight.shape[0] % 8 == 0 for each in again.module.modules() if isinstance(each, torch.nn.Conv2d))


def test_a_pruned_model_is_written_once_and_pruned_again_by_what_remains(small: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    again = write_pruned(load_saved(small), 0.5, tmp_path / "again", recorder)
    assert load_saved(again).card.pruned == 0.65
    [message] = recorder.events
    assert isinstance(message, Message) and message.text.endswith("parameters of test_resnet remain")
    assert write_pruned(load_saved(small), 0.5, again, recorder) == again and recorder.events == [message]


def test_training_continues_from_a_pruned_model_with_other_classes(small: Path) -> None:
    built = build(ModelConfig(name="test_resnet", weights=str(small)), 4)
    assert inherit(built, str(small), ("c", "a", "new", "b")) == ("new",)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        logits, own = built.module.eval()(images), load_saved(small).module(images)
    assert built.pruned == 0.3 and torch.allclose(logits[:, [1, 3, 0]], own, atol=1e-5)


def damaged(small: Path, folder: Path, changes: dict[str, tuple[slice, ...]]) -> Path:
    """Write the pruned model with parts of tensors alone, and the digest of these, into `folder`; return it."""
    state = load_file(small / WEIGHTS)
    tensors = {name: state[name][part].contiguous() for name, part in changes.items()}

    class Whole(torch.nn.Module):
        def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:  # type: ignore[override]
            return {**state, **tensors}

    save_model(folder, Whole(), load_saved(small).card)
    return folder


@pytest.mark.parametrize(
    ("changes", "loading", "building"),
    [
        ({"fc.weight": (slice(2),), "fc.bias": (slice(2),)}, "does not fit test_resnet as this", ""),
        (
            {"conv1.0.weight": (slice(None), slice(1))},
            "has the channels of no network",
            "has the channels of no network",
        ),
        ({"layer2.0.conv1.weight": (slice(8),)}, "has the channels of no network", "has the channels of no network"),
        (
            {"layer2.0.conv1.weight": (slice(None), slice(None), slice(1), slice(1))},
            "does not fit test_resnet as this",
            "does not match this architecture",
        ),
    ],
    ids=["classes", "channels of images", "channels", "kernel"],
)
def test_tensors_that_do_not_fit_each_other_are_refused(
    changes: dict[str, tuple[slice, ...]], loading: str, building: str, small: Path, tmp_path: Path
) -> None:
    folder = damaged(small, tmp_path / "damaged", changes)
    with pytest.raises(ModelError, match=loading):
        load_saved(folder)
    if building:
        with pytest.raises(ModelError, match=f"model.weights: .*{building}"):
            build(ModelConfig(name="test_resnet", weights=str(folder)), 3)


def test_a_pruned_model_is_no_backbone_for_other_images_or_for_maps(small: Path) -> None:
    config = ModelConfig(name="test_resnet", weights=str(small))
    with pytest.raises(ModelError, match=r"pruned classifier of 3 channels, and model.channels is 4; expected weights"):
        build(config.model_copy(update={"channels": 4}), 3)
    with pytest.raises(ModelError, match=r"pruned classifier of 3 channels, and this task needs feature maps"):
        build(config, 1, unused=lambda module: ())


@pytest.mark.parametrize(
    ("name", "fraction", "px", "text"),
    [
        ("test_vit", 0.3, 160, r"test_vit cannot be pruned by 0.3: .*expected a network of convolutions"),
        ("test_resnet", 0.001, 32, "test_resnet cannot be pruned by 0.001: no layer has so many channels"),
    ],
)
def test_a_network_that_cannot_be_pruned_is_refused(
    name: str, fraction: float, px: int, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=text):
        write_pruned(saved(tmp_path / "whole", name, px), fraction, tmp_path / "small", ignore)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("channels", "fraction", "left"),
    [(32, 0.3, 24), (96, 0.3, 64), (960, 0.3, 672), (16, 0.9, 8), (8, 0.5, 8), (4, 0.5, 4), (96, 0.01, 96)],
)
def test_channels_remain_in_multiples_of_eight(channels: int, fraction: float, left: int) -> None:
    assert prune.remaining(channels, fraction) == left


@pytest.mark.parametrize(
    ("fractions", "text"),
    [
        ([0.3, 0.0], "--prune-fraction 0: expected more than 0 and at most 0.9 of the channels"),
        ([0.95], "--prune-fraction 0.95: expected more than 0"),
        ([0.3, 0.3], "--prune-fraction 0.3, 0.3: expected each fraction once"),
    ],
)
def test_fractions_are_checked(fractions: list[float], text: str) -> None:
    with pytest.raises(UserError, match=text):
        check_fractions(fractions)


def test_without_torch_pruning_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"torch-pruning is not installed; run `pip install 'raytl\[openvino\]'`"):
        check_fractions([0.3])


def test_a_pruned_network_is_retrained_in_all_stages_at_one_rate(trained: Path, small: Path) -> None:
    run = open_run(str(trained), None, ignore)
    changes = student_changes(run.recipe.model_dump(), Distillation(pruned=0.3, epochs=1), small)
    experiment = override(on_this_machine(run.recipe, run.machine), changes)
    transfer = experiment.transfer
    assert (experiment.model.weights, experiment.train.epochs) == (str(small), 1)
    assert (transfer.unfreeze, transfer.lr_decay, transfer.head_start, transfer.head_first) == (
        "all",
        1.0,
        "weights",
        0,
    )


def test_bad_fractions_end_the_command_before_anything_is_trained(trained: Path, raytl: Raytl) -> None:
    words = ("compress", str(trained), "--prune-fraction", "0.95")
    idle, wrong = raytl(*words), raytl(*words, "--methods", "prune")
    assert idle.code == 2 and "--prune-fraction: nothing is trained with it; add --methods prune" in idle.err
    assert wrong.code == 2 and "--prune-fraction 0.95: expected more than 0 and at most 0.9" in wrong.err
