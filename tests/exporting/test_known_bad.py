"""Recipes of int8 that are known to destroy real networks, and how much worse they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from raytl.data.transforms import Preprocess
from raytl.exporting.graph import FromPixels
from raytl.exporting.parity import Parity, class_agreement, parity_of
from raytl.exporting.quantize_onnx import quantize_onnx
from raytl.exporting.quantize_openvino import quantize_openvino
from raytl.exporting.quiet import quiet
from raytl.metrics.paired import paired
from tests.exporting.graphs import probabilities

pytestmark = [pytest.mark.assets, pytest.mark.slow]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
Views = list[NDArray[np.uint8]]


class Probabilities(nn.Module):
    """A network that ends in a softmax."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Return probabilities."""
        return self.network(views).softmax(dim=1)


def exported(assets: Path, name: str, file: str, statistics: Any, out: Path) -> Path:
    """Write the graph of a network with its 1000 classes of ImageNet."""
    network = timm.create_model(name).eval()
    network.load_state_dict(load_file(assets / "weights" / file))
    module = FromPixels(Probabilities(network), Preprocess(224, 256, "center", "bicubic", *statistics)).eval()
    with quiet(), torch.inference_mode():
        program = torch.onnx.export(
            module, (torch.zeros(1, 224, 224, 3, dtype=torch.uint8),), dynamo=True, opset_version=20,
            input_names=["pixels"], output_names=["probabilities"], verbose=False,
        )  # fmt: skip
    assert program is not None
    program.save(str(out))
    return out


def views(assets: Path, split: str, count: int) -> Views:
    """Return views of photos of trash, evenly spread over the classes."""
    files = sorted((assets / "datasets" / "trashnet_256" / split).rglob("*.jpg"))
    chosen = files[:: len(files) // count][:count]
    return [np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.uint8)[None] for path in chosen]


def judged(graph: Path, other: Path, photos: Views) -> Parity:
    """Return the judgement of an int8 graph by the gate, with the answers of fp32 as the truth and a drop of 20 points allowed."""
    old, new = (probabilities(each, *photos).astype(np.float64) for each in (graph, other))
    truth = old.argmax(axis=1)
    return parity_of("int8", class_agreement(old, new), paired(truth, old, new, "accuracy"), (), None, None, 20)


def test_weights_per_tensor_destroy_mobilenetv2(assets: Path, tmp_path: Path) -> None:
    graph = exported(assets, "mobilenetv2_100", "mobilenetv2_100_tv.safetensors", IMAGENET, tmp_path / "model.onnx")
    train, val = views(assets, "train", 24), views(assets, "val", 32)
    good = quantize_onnx(graph, tmp_path / "good.onnx", train, reduced_range=True)
    bad = quantize_onnx(graph, tmp_path / "bad.onnx", train, reduced_range=True, per_channel=False, ranges="minmax")
    passes, fails = judged(graph, good, val), judged(graph, bad, val)
    assert passes.agreement > fails.agreement + 0.2
    assert not fails.passed and fails.failures[0].startswith("loss of accuracy: found -"), "the gate refuses it"


def test_the_default_preset_destroys_a_vit(assets: Path, tmp_path: Path) -> None:
    graph = exported(assets, "vit_tiny_patch16_224", "vit_tiny_patch16_224.safetensors", HALF, tmp_path / "model.onnx")
    train, val = views(assets, "train", 24), views(assets, "val", 32)
    good = quantize_openvino(graph, tmp_path / "good.xml", train, reduced_range=True)
    bad = quantize_openvino(graph, tmp_path / "bad.xml", train, reduced_range=True, transformer=False)
    passes, fails = judged(graph, good, val), judged(graph, bad, val)
    assert passes.agreement > fails.agreement + 0.2
    assert not fails.passed and fails.failures[0].startswith("loss of accuracy: found -"), "the gate refuses it"
