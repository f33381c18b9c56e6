"""A bundle whose graph returns the same outputs for every photo, for what the client makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from raytl.bundle.card import BundleCard, Origin, Thresholds, View, entry_of
from raytl.bundle.client import MODEL_JSON
from raytl.run.atomic import write_json

CENTER = View(image_px=8, resize_px=10, crop_mode="center", interpolation="bilinear")
FRAMED = View(image_px=64, resize_px=64, crop_mode="fit", interpolation="bilinear", frame=(64, 48))


def write_constant(
    folder: Path, kind: str, outputs: Mapping[str, NDArray[Any]], view: View, thresholds: Thresholds, **changes: Any
) -> Path:
    """Write a bundle of classes a, b and c whose graph ignores its input; `changes` are of its card."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3])
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    values = [numpy_helper.from_array(value, f"{name}_value") for name, value in outputs.items()]
    results = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in outputs.items()
    ]
    graph = helper.make_graph(nodes, "constant", [pixels], results, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "graph.onnx")
    card = BundleCard(
        format=1,
        task="any",
        kind=kind,  # type: ignore[arg-type]
        model="constant",
        classes=("a", "b", "c"),
        runtime="onnx",
        precision="fp32",
        input="crop",
        graph="graph.onnx",
        outputs=tuple(outputs),
        view=view,
        thresholds=thresholds,
        origin=Origin("run", "0" * 64, "0", "2026-01-01"),
        files={"graph.onnx": entry_of(folder / "graph.onnx")},
    )
    write_json(folder / MODEL_JSON, asdict(card) | changes)
    return folder


def photo(width: int = 20, height: int = 10) -> NDArray[np.uint8]:
    """Return the pixels of a photo of noise."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
