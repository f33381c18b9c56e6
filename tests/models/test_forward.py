"""From uint8 images to logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError
from raytl.models.backbone import build
from raytl.models.forward import BatchLike, forward, is_channels_last, pick_device, pick_precision, to_input
from raytl.models.freeze import apply_freeze
from raytl.models.parallel import computed

CPU = torch.device("cpu")
PREPROCESS = Preprocess(32, 36, "center", "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass
class Batch:
    images: Tensor
    ids: Tensor


def batches(sizes: tuple[int, ...] = (3, 2), px: int = 32) -> list[Batch]:
    torch.manual_seed(0)
    starts = np.cumsum([0, *sizes])
    return [
        Batch(torch.randint(0, 256, (n, 3, px, px), dtype=torch.uint8), torch.arange(n) + int(at))
        for n, at in zip(sizes, starts, strict=False)
    ]


def logits_of(module: torch.nn.Module, given: list[Batch], precision: torch.dtype = torch.float32) -> Tensor:
    """The logits of all batches, computed as evaluation does."""
    last = is_channels_last(module)

    def logits(batch: BatchLike) -> Tensor:
        return forward(module, batch.images, PREPROCESS, CPU, precision, last)

    return torch.cat([rows for _, rows in computed(module, given, logits, CPU)])


def small(name: str = "test_resnet", px: int = 32) -> torch.nn.Module:
    torch.manual_seed(1)
    return build(ModelConfig(name=name, weights="none", preprocess=PreprocessOverride(image_px=px)), 3).module


def test_the_input_is_normalised_as_torchvision_does() -> None:
    images = torch.arange(2 * 3 * 256, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(2, 3, 16, 16)
    wanted = tv.normalize(images.float() / 255, list(PREPROCESS.mean), list(PREPROCESS.std))
    inputs = to_input(images, PREPROCESS, CPU, channels_last=False)
    assert torch.allclose(inputs, wanted, atol=1e-5)
    turned = to_input(images, PREPROCESS, CPU, channels_last=True)
    assert torch.equal(turned, inputs) and turned.is_contiguous(memory_format=torch.channels_last)
    assert images.dtype == torch.uint8 and int(images.max()) == 255  # not written to


@pytest.mark.parametrize("channels_last", [False, True])
def test_logits_come_in_the_order_of_the_batches(channels_last: bool) -> None:
    module, given = small(), batches()
    if channels_last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert is_channels_last(module) is channels_last
    logits = logits_of(module, given)
    assert (logits.shape, logits.dtype) == ((5, 3), torch.float32)
    with torch.no_grad():
        alone = module.eval()(to_input(given[1].images, PREPROCESS, CPU, channels_last))
    assert torch.allclose(logits[3:], alone, atol=1e-5)


def test_evaluation_changes_neither_statistics_nor_modes() -> None:
    built = build(ModelConfig(name="test_resnet", weights="none"), 3)
    apply_freeze(built, 1)
    built.module.train()
    modes = [m.training for m in built.module.modules()]
    before = {n: t.clone() for n, t in built.module.state_dict().items()}
    logits_of(built.module, batches())
    assert [m.training for m in built.module.modules()] == modes
    assert all(torch.equal(t, before[n]) for n, t in built.module.state_dict().items())


def test_the_mode_comes_back_after_an_error_too() -> None:
    module = small().train()
    with pytest.raises(RuntimeError, match="size of tensor a"):
        logits_of(module, [Batch(torch.zeros(1, 4, 32, 32, dtype=torch.uint8), torch.zeros(1))])
    assert module.training


def test_reduced_precision_gives_float32_logits_close_by() -> None:
    module = small("test_vit", px=64)
    given = batches(px=64)
    exact, reduced = logits_of(module, given), logits_of(module, given, torch.bfloat16)
    assert reduced.dtype == torch.float32
    assert not torch.equal(exact, reduced) and torch.allclose(exact, reduced, atol=0.1)


def test_training_goes_on_after_evaluation() -> None:
    module = small().train()
    logits_of(module, batches())
    module(to_input(batches()[0].images, PREPROCESS, CPU, False)).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_device_is_the_cpu_when_asked_for() -> None:
    assert pick_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    assert pick_device("auto") == CPU
    with pytest.raises(ConfigError, match=r"compute.device: torch finds no GPU for cuda"):
        pick_device("cuda")


@pytest.mark.parametrize(("avx", "amx"), [(True, False), (False, True), (False, False)])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, avx: bool, amx: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert pick_precision("auto", CPU) == (torch.bfloat16 if avx or amx else torch.float32)


def test_a_precision_by_name_is_taken() -> None:
    assert (pick_precision("fp32", CPU), pick_precision("bf16", CPU)) == (torch.float32, torch.bfloat16)
    assert pick_precision("fp16", torch.device("cuda")) == torch.float16


def test_fp16_without_a_gpu_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"train.precision: fp16 needs a GPU, and the device is cpu"):
        pick_precision("fp16", CPU)
