"""Run a model that raytl exported. Needs numpy, Pillow, and onnxruntime or openvino; not raytl, and not torch.

    python client.py photo.jpg other.png               # one JSON line a photo
    Model(folder).predict("photo.jpg")                 # the same from Python

This file is part of every bundle, and raytl runs bundles with it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MODEL_JSON = "model.json"
MAX_ASPECT = 8.0
Pixels = NDArray[np.uint8]
Outputs = dict[str, NDArray[Any]]
Size = tuple[int, int]
"""Width and height in pixels."""


class Model:
    """A bundle in memory. `threads` are those of the runtime; 0 = one for each core.

    Raises:
        ValueError: a file of the bundle is missing or differs from its digest.
        ImportError: the runtime of the bundle is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, threads: int = 0) -> None:
        self.folder = Path(folder) if folder is not None else Path(__file__).parent
        self.card: dict[str, Any] = json.loads((self.folder / MODEL_JSON).read_text())
        for name, entry in self.card["files"].items():
            content = (self.folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                raise ValueError(
                    f"{self.folder / name}: differs from the digest in {MODEL_JSON}; copy the bundle again"
                )
        self.classes: list[str] = list(self.card["classes"])
        self._run = _runtimes[self.card["runtime"]](self.folder / self.card["graph"], self.card, threads)
        self._reference = self._read_reference()

    def predict(self, photo: str | os.PathLike[str] | Image.Image | Pixels) -> dict[str, Any]:
        """Return the answer for a photo: a path, an image, or upright RGB pixels `(height, width, 3) uint8`."""
        pixels = photo if isinstance(photo, np.ndarray) else decoded(photo, self.card["view"])
        return self.answer(self.outputs([pixels])[0], (pixels.shape[1], pixels.shape[0]))

    def outputs(self, photos: Sequence[Pixels]) -> list[Outputs]:
        """Return the outputs of the graph for each photo; views of equal size are one batch."""
        if self.card["input"] == "photo":
            return [dict(zip(self.card["outputs"], self._run(photo[None]), strict=True)) for photo in photos]
        views = np.stack([view_of(photo, self.card["view"]) for photo in photos])
        if self.card["kind"] == "objects":  # of a variable number for each view
            return [
                dict(zip(self.card["outputs"], self._run(views[i : i + 1]), strict=True)) for i in range(len(views))
            ]
        values = self._run(views)
        names = self.card["outputs"]
        return [{name: value[i : i + 1] for name, value in zip(names, values, strict=True)} for i in range(len(photos))]

    def network(self, pixels: Pixels) -> Sequence[NDArray[Any]]:
        """Return the outputs of the graph alone: for views `(n, height, width, 3) uint8`, or for one photo in a batch of 1."""
        return self._run(pixels)

    def answer(self, outputs: Mapping[str, NDArray[Any]], size: Size) -> dict[str, Any]:
        """Return the answer of one photo of `size` as JSON values, with the operating points of the bundle applied."""
        return _answers[self.card["kind"]](self, outputs, size)

    def unfamiliar(self, features: NDArray[Any]) -> bool | None:
        """Return whether `features (d,)` are far from those of training; None if the bundle has no reference."""
        limit = self.card["thresholds"].get("unfamiliar")
        if limit is None or self._reference is None:
            return None
        unit = features / max(float(np.linalg.norm(features)), 1e-12)
        nth = min(limit["neighbors"], len(self._reference)) - 1
        nearest = -np.partition(-(self._reference @ unit.astype(np.float32)), nth)[nth]
        return bool(np.sqrt(max(0.0, 2 - 2 * float(nearest))) > limit["distance"])

    def _read_reference(self) -> NDArray[np.float32] | None:
        limit = self.card["thresholds"].get("unfamiliar")
        if limit is None:
            return None
        values = np.load(self.folder / limit["file"], allow_pickle=False).astype(np.float32)
        normalized: NDArray[np.float32] = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        return normalized


def decoded(photo: str | os.PathLike[str] | bytes | Image.Image, view: Mapping[str, Any]) -> Pixels:
    """Return upright RGB pixels `(height, width, 3) uint8`: rotated by EXIF, 16 bits scaled to 8, alpha on white."""
    source = io.BytesIO(photo) if isinstance(photo, bytes) else photo
    image = source if isinstance(source, Image.Image) else Image.open(source)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        top = (1 << int(view["bits"])) - 1
        scaled = np.rint(np.asarray(image).astype(np.float64).clip(0, top) * (255 / top))
        image = Image.fromarray(scaled.astype(np.uint8))
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), picture)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def view_of(photo: Pixels, view: Mapping[str, Any]) -> Pixels:
    """Return the pixels that the network sees: resized with antialiasing, then cropped or padded."""
    image = Image.fromarray(photo)
    if view["crop_mode"] == "center":
        image = image.crop(_inner_box(*image.size))
    size = resized_size(*image.size, view)
    mode = Image.Resampling["NEAREST" if view["interpolation"].startswith("nearest") else view["interpolation"].upper()]
    pixels: Pixels = np.array(image.resize(size, mode) if size != image.size else image, dtype=np.uint8)
    if view["frame"] is None:
        return _center_crop(pixels, view["image_px"])
    padded: Pixels = np.empty((view["frame"][1], view["frame"][0], 3), np.uint8)
    padded[:] = np.array(view["pad"], np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded


def resized_size(width: int, height: int, view: Mapping[str, Any]) -> Size:
    """Return the (width, height) to which a photo is resized."""
    side = int(view["resize_px"])
    if view["frame"] is not None:
        ratio = min(view["frame"][0] / width, view["frame"][1] / height)
        return max(1, round(width * ratio)), max(1, round(height * ratio))
    if view["crop_mode"] == "squash":
        return side, side
    short, long = min(width, height), max(width, height)
    longer = int(side * long / short)
    return (side, longer) if width <= height else (longer, side)


def _inner_box(width: int, height: int) -> tuple[int, int, int, int]:
    bound = int(MAX_ASPECT * min(width, height))
    keep_w, keep_h = min(width, bound), min(height, bound)
    left, top = (width - keep_w) // 2, (height - keep_h) // 2
    return left, top, left + keep_w, top + keep_h


def _center_crop(pixels: Pixels, side: int) -> Pixels:
    missing = [max(side - length, 0) for length in pixels.shape[:2]]
    pixels = np.pad(pixels, [*[(m // 2, (m + 1) // 2) for m in missing], (0, 0)])
    top, left = (round((length - side) / 2.0) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _onnx(path: Path, card: Mapping[str, Any], threads: int) -> Callable[[Pixels], Sequence[NDArray[Any]]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: list(session.run(None, {name: pixels}))


def _openvino(path: Path, card: Mapping[str, Any], threads: int) -> Callable[[Pixels], Sequence[NDArray[Any]]]:
    import openvino

    hint = "bf16" if card["precision"] == "bf16" else "f32"  # otherwise OpenVINO takes bf16 by itself where it can
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(os.fspath(path), "CPU", settings)

    def run(pixels: Pixels) -> Sequence[NDArray[Any]]:
        request = compiled.create_infer_request()
        request.infer([np.ascontiguousarray(pixels)])
        return [np.array(request.get_output_tensor(i).data) for i in range(len(compiled.outputs))]

    return run


def _torch(path: Path, card: Mapping[str, Any], threads: int) -> Callable[[Pixels], Sequence[NDArray[Any]]]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    module = torch.export.load(os.fspath(path)).module()

    def run(pixels: Pixels) -> Sequence[NDArray[Any]]:
        with torch.inference_mode():
            return [value.numpy() for value in module(torch.from_numpy(np.ascontiguousarray(pixels)))]

    return run


_runtimes: Mapping[str, Callable[..., Callable[[Pixels], Sequence[NDArray[Any]]]]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torch": _torch,
}


def _class_answer(model: Model, outputs: Mapping[str, NDArray[Any]], size: Size) -> dict[str, Any]:
    row, limits = outputs["probabilities"][0].astype(float), model.card["thresholds"]
    best, names = int(row.argmax()), model.classes
    answer: dict[str, Any] = {
        "label": names[best],
        "confidence": float(row[best]),
        "probabilities": dict(zip(names, row.tolist(), strict=True)),
    }
    if limits["member"] is not None:
        answer["set"] = [names[i] for i in np.flatnonzero(row >= limits["member"])]
    if limits["answer"] is not None:
        answer["answered"] = bool(row[best] >= limits["answer"])
    if limits["recall"]:
        answer["counts_as"] = {name: bool(row[names.index(name)] >= p) for name, p in limits["recall"].items()}
    if (far := model.unfamiliar(outputs["features"][0])) is not None if "features" in outputs else False:
        answer["unfamiliar"] = far
    return answer


def _labels_answer(model: Model, outputs: Mapping[str, NDArray[Any]], size: Size) -> dict[str, Any]:
    row, least = outputs["probabilities"][0].astype(float), model.card["thresholds"]["labels"]
    return {
        "labels": [name for name, p, t in zip(model.classes, row, least, strict=True) if p >= t],
        "probabilities": dict(zip(model.classes, row.tolist(), strict=True)),
    }


def _objects_answer(model: Model, outputs: Mapping[str, NDArray[Any]], size: Size) -> dict[str, Any]:
    view, least = model.card["view"], model.card["thresholds"]["score"] or 0.0
    scale = np.array([a / b for a, b in zip(size, resized_size(*size, view), strict=True)] * 2)
    boxes = (outputs["boxes"] * scale).clip(0, [*size, *size])
    objects = zip(outputs["labels"].tolist(), outputs["scores"].tolist(), boxes.tolist(), strict=True)
    return {
        "objects": [
            {"label": model.classes[label], "score": score, "box": box}
            for label, score, box in objects
            if score >= least
        ]
    }


def _map_answer(model: Model, outputs: Mapping[str, NDArray[Any]], size: Size) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(outputs["map"][0].astype(np.uint8)).resize(size, Image.Resampling.NEAREST).save(file, "PNG")
    return {"size": list(size), "classes": model.classes, "map_png": base64.b64encode(file.getvalue()).decode()}


_answers: Mapping[str, Callable[[Model, Mapping[str, NDArray[Any]], Size], dict[str, Any]]] = {
    "classes": _class_answer,
    "labels": _labels_answer,
    "objects": _objects_answer,
    "map": _map_answer,
}


def main(paths: Sequence[str]) -> None:
    """Print the answer of each photo as a JSON line."""
    model = Model()
    for path in paths:
        print(json.dumps({"path": path, **model.predict(path)}))


if __name__ == "__main__":
    main(sys.argv[1:])
