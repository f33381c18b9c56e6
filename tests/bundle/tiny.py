"""A small bundle for tests: the mean color of a photo decides its class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from raytl.bundle.card import BundleCard, Origin, Thresholds, View, entry_of
from raytl.bundle.client import MODEL_JSON
from raytl.run.atomic import write_json

CLASSES = ("blue", "green", "red")


def color_graph(path: Path) -> None:
    """Write a graph from pixels `(n, h, w, 3) uint8` to the probabilities of `CLASSES`."""
    weights = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32) / 16  # red, green, blue to CLASSES
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "color",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array([1, 2]), "axes"), numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def tiny_bundle(folder: Path, input: Literal["photo", "crop"] = "crop") -> Path:
    """Write a bundle of `color_graph` into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    color_graph(folder / "model.onnx")
    card = BundleCard(
        format=1,
        task="classification",
        kind="classes",
        model="color",
        classes=CLASSES,
        runtime="onnx",
        precision="fp32",
        input=input,
        graph="model.onnx",
        outputs=("probabilities",),
        view=View(image_px=32, resize_px=36, crop_mode="center", interpolation="bilinear"),
        thresholds=Thresholds(),
        origin=Origin(run="color", weights="0" * 64, raytl="0", created="2026-01-01"),
        files={"model.onnx": entry_of(folder / "model.onnx")},
    )
    write_card(folder, card)
    return folder


def write_card(folder: Path, card: BundleCard) -> None:
    """Write the card of a bundle."""
    write_json(folder / MODEL_JSON, card.to_json())


def changed_card(folder: Path, card: BundleCard, **values: object) -> None:
    """Write the card of a bundle with other values."""
    write_card(folder, replace(card, **values))  # type: ignore[arg-type]
