"""Tiny bundles by hand: a graph that answers by the mean colour of a photo, without torch."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from raytl.bundle.card import BundleCard, Origin, Thresholds, Unfamiliar, View, entry_of
from raytl.stored.files import FileEntry

CLASSES = ("red", "green", "blue")
_ZEROS = "0" * 64


def write_graph(path: Path, scale: float = 0.05) -> None:
    """Write `uint8 (n, h, w, 3) -> mean colour -> softmax`, with the unit mean colour as the features."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Div", ["mean", "top"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3]),
        ],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
            helper.make_tensor("top", TensorProto.FLOAT, [], [255.0]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def write_bundle(folder: Path, classes: tuple[str, ...] = CLASSES, scale: float = 0.05, **changes: Any) -> Path:
    """Write a bundle with every operating point; `changes` replace fields of its card."""
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(folder / "model.onnx", scale)
    np.save(folder / "reference.npy", np.eye(3, dtype=np.float32))
    files: dict[str, FileEntry] = {name: entry_of(folder / name) for name in ("model.onnx", "reference.npy")}
    card = BundleCard(
        format=1,
        task="classification",
        kind="classes",
        model="mean_colour",
        classes=classes,
        runtime="onnx",
        precision="fp32",
        input="photo",
        graph="model.onnx",
        outputs=("probabilities", "features"),
        view=View(image_px=32, resize_px=32, crop_mode="center", interpolation="bilinear"),
        thresholds=Thresholds(
            answer=0.6, recall={classes[0]: 0.2}, member=0.1, unfamiliar=Unfamiliar("reference.npy", 1, 0.5)
        ),
        origin=Origin(run="run", weights=_ZEROS, raytl="0.1.0", created="2026-01-01T00:00:00+00:00"),
        files=files,
    )
    (folder / "model.json").write_text(json.dumps(card.to_json() | changes))
    return folder


def photo(color: tuple[int, int, int] = (255, 0, 0), px: int = 40, kind: str = "JPEG") -> bytes:
    """Return an image file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (px, px), color).save(file, kind)
    return file.getvalue()
