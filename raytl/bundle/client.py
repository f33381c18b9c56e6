"""Run a model that raytl exported. Needs numpy, Pillow, and onnxruntime or openvino; not raytl, and not torch.

    python client.py photo.jpg other.png               # one JSON line a photo; exits with 2 if one cannot be read
    Model(folder).predict("photo.jpg")                 # the same from Python

This file is part of every bundle, and raytl runs bundles with it.
"""

from __future__ import annotations

import base64
import contextlib
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
from PIL import Image, ImageOps, UnidentifiedImageError

MODEL_JSON = "model.json"
MAX_ASPECT = 8.0
MAX_PIXELS = 64_000_000
"""Pixels of the largest photo that is decoded."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
_VALUES_AT_ONCE = 1 << 24
"""Interpolated values that are in memory at once: 64 MB."""
Pixels = NDArray[np.uint8]
Array = NDArray[Any]
Photo = str | os.PathLike[str] | bytes | Image.Image
Values = Mapping[str, Any]
Run = Callable[[Pixels], Sequence[Array]]
Outputs = dict[str, Array]
Size = tuple[int, int]
"""Width and height in pixels."""


class Model:
    """A bundle in memory. `threads` are those of the runtime; 0 = one for each core. Threads may share it.

    `network` returns the outputs of the graph alone: for views `(n, height, width, 3) uint8`, or for one photo in a batch of 1.

    Raises:
        ValueError: a file of the bundle is missing or differs from its digest.
        ImportError: the runtime of the bundle is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, threads: int = 0) -> None:
        self.folder = Path(folder) if folder is not None else Path(__file__).parent
        self.card: dict[str, Any] = json.loads((self.folder / MODEL_JSON).read_text(encoding="utf-8"))
        for name, entry in self.card["files"].items():
            content = (self.folder / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                raise ValueError(
                    f"{self.folder / name}: differs from the digest in {MODEL_JSON}; copy the bundle again"
                )
        self.classes: list[str] = list(self.card["classes"])
        self.network: Run = _runtimes[self.card["runtime"]](self.folder / self.card["graph"], self.card, threads)
        self._reference = self._read_reference()

    def predict(self, photo: Photo | Pixels) -> dict[str, Any]:
        """Return the answer for a photo: a path, bytes, an image, or upright RGB pixels `(height, width, 3) uint8`.

        Raises:
            ValueError: the photo cannot be read, and why.
        """
        pixels = photo if isinstance(photo, np.ndarray) else decoded(photo, self.card["view"])
        return self.answer(self.outputs([pixels])[0], (pixels.shape[1], pixels.shape[0]))

    def outputs(self, photos: Sequence[Pixels]) -> list[Outputs]:
        """Return the outputs of the graph for each photo; views of equal size are one batch."""
        names, whole = self.card["outputs"], self.card["input"] == "photo"
        views = [photo if whole else view_of(photo, self.card["view"]) for photo in photos]
        if whole or self.card["kind"] == "objects":  # of several sizes, or with several numbers of objects
            return [dict(zip(names, self.network(view[None]), strict=True)) for view in views]
        values = self.network(np.stack(views))
        return [{name: value[i : i + 1] for name, value in zip(names, values, strict=True)} for i in range(len(views))]

    def answer(self, outputs: Mapping[str, Array], size: Size) -> dict[str, Any]:
        """Return the answer of one photo of `size` as JSON values, with the operating points of the bundle applied."""
        return _answers[self.card["kind"]](self, outputs, size)

    def unfamiliar(self, features: Array) -> bool | None:
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
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12), np.float32)


def decoded(photo: Photo, view: Values, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return upright RGB pixels `(height, width, 3) uint8`: rotated by EXIF, gray of 16 bits scaled to 8, alpha on white.

    They equal those that raytl trains with. This function refuses some files that raytl reads: 16-bit color, 16-bit gray that
    declares its depth or whose zero is white, HEIC, JPEG without its end, PNG with broken text, files after white space.

    Raises:
        ValueError: it is not such a photo, or has more than `max_pixels` pixels.
    """
    if isinstance(photo, Image.Image):
        return _upright_rgb(photo, view)
    Image.init()
    try:
        data = photo if isinstance(photo, bytes) else Path(photo).read_bytes()
        with Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            if image.width * image.height > max_pixels:
                raise ValueError(f"{image.width} x {image.height} pixels; expected at most {max_pixels:,}")
            if reason := _misread(image, data):
                raise ValueError(f"{reason}. Save it with 8 bits")
            return _upright_rgb(image, view)
    except UnidentifiedImageError:
        raise ValueError(f"not an image (starts with {data[:12]!r}); expected JPEG, PNG, WebP, TIFF ...") from None
    except ValueError:
        raise
    except Exception as error:  # Pillow's parsers raise nearly anything on broken files
        raise ValueError(f"cannot be read ({type(error).__name__}: {error})") from error


def _misread(image: Image.Image, data: bytes) -> str:
    """Return why Pillow would read other pixels than raytl; empty if it reads the same."""
    tags = {key: value[0] if isinstance(value, tuple) else value for key, value in getattr(image, "tag_v2", {}).items()}
    if (bands := tags.get(277, 1)) > 4:
        return f"a TIFF of {bands} bands; expected 1 (gray), 3 (RGB) or 4 (RGBA)"
    if image.mode.startswith("I"):
        usual = {258: 16, 262: 1, 281: 65535, 341: 65535}  # bits, black is zero, largest values
        odd = any(tags.get(tag, value) != value for tag, value in usual.items()) or image.format == "PPM"
        odd = odd or b"sBIT" in data[: data.find(b"IDAT")] or "SignificantBits" in str(tags.get(270))
        return "gray of 16 bits whose depth or zero the file declares; expected plain values" if odd else ""
    deep = ";16" in str(getattr(image, "tile", "")) or (image.mode != "F" and tags.get(258, 8) > 8)
    return "color of 16 bits; expected 8" if deep else ""


def _upright_rgb(image: Image.Image, view: Values) -> Pixels:
    image.load()
    with contextlib.suppress(Exception):  # a broken EXIF block does not make the pixels unusable
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _scaled(image, (1 << int(view["bits"])) - 1, 65535)
    if image.mode == "F":
        image = _scaled(image, 1, 1)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), picture)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _scaled(image: Image.Image, white: int, limit: int) -> Image.Image:
    """Return gray values from 0 to `white` as 8 bits; higher ones, up to `limit`, are white too."""
    values = np.asarray(image).astype(np.float64)
    if not (values.min() >= 0 and values.max() <= limit):
        raise ValueError(f"gray from {values.min():g} to {values.max():g}; expected 0 to {limit}. Save it with 8 bits")
    return Image.fromarray(np.rint(values.clip(max=white) * (255 / white)).astype(np.uint8))


def view_of(photo: Pixels, view: Values) -> Pixels:
    """Return the pixels that the network sees: resized with antialiasing, then cropped or padded."""
    image = Image.fromarray(photo)
    if view["crop_mode"] == "center":
        keep = [min(length, int(MAX_ASPECT * min(image.size))) for length in image.size]
        left, top = ((length - side) // 2 for length, side in zip(image.size, keep, strict=True))
        image = image.crop((left, top, left + keep[0], top + keep[1]))
    size = resized_size(*image.size, view)
    mode = Image.Resampling["NEAREST" if view["interpolation"].startswith("nearest") else view["interpolation"].upper()]
    pixels: Pixels = np.array(image.resize(size, mode) if size != image.size else image, dtype=np.uint8)
    if view["frame"] is None:
        return _center_crop(pixels, view["image_px"])
    padded: Pixels = np.empty((view["frame"][1], view["frame"][0], 3), np.uint8)
    padded[:] = np.array(view["pad"], np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded


def resized_size(width: int, height: int, view: Values) -> Size:
    """Return the (width, height) to which a photo is resized."""
    side = int(view["resize_px"])
    if view["frame"] is not None:
        ratio = min(view["frame"][0] / width, view["frame"][1] / height)
        return max(1, round(width * ratio)), max(1, round(height * ratio))
    if view["crop_mode"] == "squash":
        return side, side
    longer = int(side * max(width, height) / min(width, height))
    return (side, longer) if width <= height else (longer, side)


def _center_crop(pixels: Pixels, side: int) -> Pixels:
    missing = [max(side - length, 0) for length in pixels.shape[:2]]
    pixels = np.pad(pixels, [*[(m // 2, (m + 1) // 2) for m in missing], (0, 0)])
    top, left = (round((length - side) / 2.0) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _onnx(path: Path, card: Values, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: list(session.run(None, {name: pixels}))


def _openvino(path: Path, card: Values, threads: int) -> Run:
    import openvino

    hint = "bf16" if card["precision"] == "bf16" else "f32"  # otherwise OpenVINO takes bf16 by itself where it can
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    compiled = openvino.Core().compile_model(os.fspath(path), "CPU", settings)

    free: list[Any] = []  # a request serves one thread at a time; append and pop are atomic

    def run(pixels: Pixels) -> Sequence[Array]:
        try:
            request = free.pop()
        except IndexError:
            request = compiled.create_infer_request()
        request.infer([np.ascontiguousarray(pixels)])
        values = [np.array(request.get_output_tensor(i).data) for i in range(len(compiled.outputs))]
        free.append(request)
        return values

    return run


def _torch(path: Path, card: Values, threads: int) -> Run:
    import torch

    if threads:
        torch.set_num_threads(threads)
    module = torch.export.load(os.fspath(path)).module()

    @torch.inference_mode()
    def run(pixels: Pixels) -> Sequence[Array]:
        return [value.numpy() for value in module(torch.from_numpy(np.ascontiguousarray(pixels)))]

    return run


_runtimes: Mapping[str, Callable[..., Run]] = {"onnx": _onnx, "openvino": _openvino, "torch": _torch}


def _class_answer(model: Model, outputs: Mapping[str, Array], size: Size) -> dict[str, Any]:
    row, limits = outputs["probabilities"][0].astype(float), model.card["thresholds"]
    best, names = int(row.argmax()), model.classes
    answer: dict[str, Any] = {"label": names[best], "confidence": float(row[best])}
    answer["probabilities"] = dict(zip(names, row.tolist(), strict=True))
    if limits["member"] is not None:
        answer["set"] = [names[i] for i in np.flatnonzero(row >= limits["member"])]
    if limits["answer"] is not None:
        answer["answered"] = bool(row[best] >= limits["answer"])
    if limits["recall"]:
        answer["counts_as"] = {name: bool(row[names.index(name)] >= p) for name, p in limits["recall"].items()}
    if (far := model.unfamiliar(outputs["features"][0])) is not None if "features" in outputs else False:
        answer["unfamiliar"] = far
    return answer


def _labels_answer(model: Model, outputs: Mapping[str, Array], size: Size) -> dict[str, Any]:
    row = outputs["probabilities"][0].astype(float)
    least = model.card["thresholds"]["labels"] or [0.5] * len(row)
    return {
        "labels": [name for name, p, t in zip(model.classes, row, least, strict=True) if p >= t],
        "probabilities": dict(zip(model.classes, row.tolist(), strict=True)),
    }


def _objects_answer(model: Model, outputs: Mapping[str, Array], size: Size) -> dict[str, Any]:
    view, least = model.card["view"], model.card["thresholds"]["score"] or 0.0
    scale = np.array([a / b for a, b in zip(size, resized_size(*size, view), strict=True)] * 2)
    boxes = (outputs["boxes"].astype(np.float64) * scale).clip(0, [*size, *size]).astype(np.float32)
    objects: list[dict[str, Any]] = []
    for i in np.flatnonzero(outputs["scores"] >= least):
        label, score = model.classes[int(outputs["labels"][i])], float(outputs["scores"][i])
        objects.append({"label": label, "score": score, "box": boxes[i].tolist()})
        if "masks" in outputs:
            counts = mask_counts(outputs["masks"][i], outputs["boxes"][i], boxes[i], size, view)
            objects[-1]["mask"] = {"size": [size[1], size[0]], "counts": counts}
    return {"objects": objects}


def _map_answer(model: Model, outputs: Mapping[str, Array], size: Size) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(class_map(outputs["logits"][0], size, model.card["view"])).save(file, "PNG")
    return {"size": list(size), "classes": model.classes, "map_png": base64.b64encode(file.getvalue()).decode()}


def class_map(logits: Array, size: Size, view: Values) -> Pixels:
    """Return the most probable class at each pixel of a photo, `(height, width)`, from `logits (classes, h, w)` of its view."""
    width, height = size
    rows = max(1, _VALUES_AT_ONCE // (width * len(logits)))
    parts = [
        map_in_photo(logits, size, view, (top, 0, min(top + rows, height), width)).argmax(axis=0)
        for top in range(0, height, rows)
    ]
    return np.concatenate(parts).astype(np.uint8)


def map_in_photo(values: Array, size: Size, view: Values, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Return `values (c, h, w)` of a framed view in the `window` (top, left, bottom, right) of its photo, by bilinear interpolation."""
    top, left, bottom, end = window
    parts, filled = ((left, end), (top, bottom)), resized_size(*size, view)
    ratio = [values.shape[2] / view["frame"][0], values.shape[1] / view["frame"][1]]
    x, y = (
        ((np.arange(*parts[i]) + 0.5) * (filled[i] / size[i])).clip(0.5, filled[i] - 0.5) * ratio[i] for i in (0, 1)
    )
    return _interpolated(values, y, x)


def _interpolated(values: Array, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return `values (c, h, w)` at these rows and columns, `(c, len(y), len(x))`; the first pixel is from 0 to 1."""
    result: NDArray[np.float32] = np.asarray(values, np.float32)
    for axis, at in ((1, y), (2, x)):
        places = (at - 0.5).clip(0, result.shape[axis] - 1)
        low = np.floor(places).astype(np.int64)
        part = (places - low).astype(np.float32)[:, None] if axis == 1 else (places - low).astype(np.float32)
        high = np.minimum(low + 1, result.shape[axis] - 1)
        result = result.take(low, axis) * (1 - part) + result.take(high, axis) * part
    return result


def mask_counts(mask: Array, box: Array, photo_box: NDArray[np.float32], size: Size, view: Values) -> str:
    """Return the COCO run lengths of the `mask (28, 28)` of a `box` of the view, inside of `photo_box`, the box in the photo."""
    left, top = (max(0, int(v)) for v in np.floor(photo_box[:2]))
    end, bottom = (min(int(v), side) for v, side in zip(np.ceil(photo_box[2:]), size, strict=True))
    columns = np.zeros((max(end - left, 0), size[1]), np.bool_)
    if end > left and bottom > top:
        pasted = _pasted(mask, box, view["frame"])
        columns[:, top:bottom] = map_in_photo(pasted[None], size, view, (top, left, bottom, end))[0].T >= 0.5
    return _run_lengths(columns.ravel(), left * size[1], size[0] * size[1])


def _pasted(mask: Array, box: Array, frame: Size) -> NDArray[np.float32]:
    """Return the mask of a box in its view, `(height, width)`, as torchvision's `paste_masks_in_image` does."""
    padded, cells = np.pad(np.asarray(mask, np.float32), 1), len(mask)
    center, half = (box[2:] + box[:2]) * np.float32(0.5), (box[2:] - box[:2]) * np.float32(0.5)
    half = half * np.float32((cells + 2) / cells)
    (x0, y0), (x1, y1) = ((center + sign * half).astype(np.int64).tolist() for sign in (-1, 1))
    width, height = max(x1 - x0 + 1, 1), max(y1 - y0 + 1, 1)
    left, end, top, bottom = max(x0, 0), min(x1 + 1, frame[0]), max(y0, 0), min(y1 + 1, frame[1])
    y = (np.arange(top, bottom) - y0 + 0.5) * (len(padded) / height)
    x = (np.arange(left, end) - x0 + 0.5) * (len(padded) / width)
    pasted = np.zeros((frame[1], frame[0]), np.float32)
    pasted[top:bottom, left:end] = _interpolated(padded[None], y, x)[0]
    return pasted


def _run_lengths(pixels: NDArray[np.bool_], start: int, total: int) -> str:
    """Return COCO's compressed run lengths of `total` pixels down the columns: `pixels` from `start`, and nothing else."""
    edges = np.flatnonzero(np.diff(pixels, prepend=False, append=False)) + start
    runs = np.diff(edges, prepend=0, append=total).tolist()
    text = []
    for i, run in enumerate(runs[:-1] if runs[-1] == 0 else runs):
        value, more = run - runs[i - 2] if i > 2 else run, True
        while more:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            text.append(chr(digit + 32 * more + 48))
    return "".join(text)


_answers: Mapping[str, Callable[[Model, Mapping[str, Array], Size], dict[str, Any]]] = {
    "classes": _class_answer,
    "labels": _labels_answer,
    "objects": _objects_answer,
    "map": _map_answer,
}


def main(paths: Sequence[str]) -> int:
    """Print the answer of each photo as a JSON line; return 2 if the bundle or a photo cannot be read."""
    model, status = None, 0
    for path in paths:
        try:
            model = model or Model()
            print(json.dumps({"path": path, **model.predict(path)}), flush=True)
        except (ValueError, OSError, ImportError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
