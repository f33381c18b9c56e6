"""Inference: run a network on uint8 images on a given device and in a given precision."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError
from raytl.models.constants import constant

#: Evaluation batch size by device. It does not depend on the world size: the whole split is divided into batches, and
#: whole batches go to workers, so each image has the same batch, and the same logits, on any number of workers.
EVAL_BATCH = {"cpu": 8, "cuda": 64}


class BatchLike(Protocol):
    """A batch of a loader."""

    @property
    def images(self) -> Tensor:
        """`(batch, channels, height, width) uint8`."""
        ...

    @property
    def ids(self) -> Tensor:
        """`(batch,) int64`: positions in the split."""
        ...


@torch.inference_mode()
def forward(
    module: nn.Module,
    images: Tensor,
    preprocess: Preprocess,
    device: torch.device,
    precision: torch.dtype,
    channels_last: bool,
) -> Tensor:
    """Return logits `(batch, classes) float32` of one batch of uint8 images; the module is in evaluation mode."""
    inputs = to_input(images, preprocess, device, channels_last)
    with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
        logits: Tensor = module(inputs)
    return logits.float()


def to_input(images: Tensor, preprocess: Preprocess, device: torch.device, channels_last: bool) -> Tensor:
    """Normalize uint8 images to `(batch, channels, height, width) float32` on `device`; only move activations there."""
    if images.dtype != torch.uint8:
        return images.to(device, non_blocking=True)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    mean = constant(preprocess.mean, device).mul(255).view(-1, 1, 1)
    scale = constant(preprocess.std, device).mul(255).reciprocal_().view(-1, 1, 1)
    moved = images.to(device, non_blocking=True)
    return moved.to(torch.float32, memory_format=layout).sub_(mean).mul_(scale)


def is_channels_last(module: nn.Module) -> bool:
    """Return True if the spatial filters of the module are in channels-last memory format."""
    filters = (p for p in module.parameters() if p.ndim == 4 and not p.is_contiguous())
    return any(p.is_contiguous(memory_format=torch.channels_last) for p in filters)


def pick_device(name: str) -> torch.device:
    """Return the device; `auto` is the GPU if there is one.

    Raises:
        ConfigError: `cuda` without a GPU.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError("compute.device: torch finds no GPU for cuda; write auto or cpu")
    return torch.device("cuda" if has_gpu and name in ("auto", "cuda") else "cpu")


def gpu_count() -> int:
    """Return the number of GPUs that torch finds."""
    return torch.cuda.device_count()


def pick_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix multiplication; `auto` is bfloat16 if the hardware accelerates it, else float32.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"train.precision: fp16 needs a GPU, and the device is {device.type}; write auto, bf16 or fp32"
        )
    if precision == "auto":
        return torch.bfloat16 if _gains_from_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _gains_from_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
