"""The Open Inference Protocol, version 2, in JSON: the requests and responses of /v2.

An input has `BYTES` (an image file in base64 for each element) or `UINT8` (upright RGB pixels, `(n, height, width, 3)` or without
`n`). The output `answer` has each answer as JSON text; models that answer with probabilities give those and the label too.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from raytl.bundle.card import BundleCard
from raytl.serving.refusal import Refusal, RequestError
from raytl.stored import Format
from raytl.stored.bounds import Unchecked, at_least, at_most, within

_Side = Annotated[int, within(1, 1 << 31)]
_Text = Annotated[str, at_most(200)]
_PROBABILITIES = frozenset({"classes", "labels"})
Images = list[bytes | NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor of a request; `images_of` checks its data, which has megabytes of text or millions of numbers."""

    name: _Text
    shape: Annotated[tuple[_Side, ...], at_least(1, "dimension"), at_most(4, "dimensions")]
    datatype: Literal["BYTES", "UINT8"]
    data: Annotated[Any, Unchecked]
    parameters: Mapping[_Text, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutputName:
    """An output that a request wants."""

    name: _Text


@dataclass(frozen=True, slots=True)
class InferRequest:
    """The JSON of an inference request."""

    inputs: Annotated[tuple[InputTensor, ...], at_least(1, "input"), at_most(1, "input")]
    id: _Text = ""
    outputs: Annotated[tuple[OutputName, ...], at_most(16, "outputs")] = ()
    parameters: Mapping[_Text, Any] = field(default_factory=dict)


INFER_FORMAT = Format[InferRequest](
    InferRequest,
    "an inference request",
    "Send one input of datatype BYTES (base64) or UINT8; see /docs.",
    RequestError,
    max_bytes=1 << 30,
)
"""A server's own limit of the body is lower."""


def read_request(content: bytes) -> InferRequest:
    """Return a request.

    Raises:
        Refusal: 400, it is malformed.
    """
    try:
        return INFER_FORMAT.read(content, "the request")
    except RequestError as error:
        raise Refusal(400, str(error)) from None


def images_of(request: InferRequest, limit: int, max_pixels: int) -> Images:
    """Return the images of a request: bytes of files, or pixels.

    Raises:
        Refusal: 400 for a shape or data that do not fit, 413 for more than `limit` images or `max_pixels` pixels.
    """
    tensor = request.inputs[0]
    if tensor.datatype == "BYTES":
        return _files(tensor, limit)
    shape = tensor.shape if len(tensor.shape) == 4 else (1, *tensor.shape)
    if len(shape) != 4 or shape[3] != 3:
        raise Refusal(400, f"shape {list(tensor.shape)}; expected [n, height, width, 3] or [height, width, 3]")
    if shape[0] > limit or shape[1] * shape[2] > max_pixels:
        raise Refusal(
            413, f"shape {list(shape)}; expected {limit} images at most, each of {max_pixels:,} pixels at most"
        )
    return list(_pixels(tensor.data, math.prod(shape)).reshape(shape))


def _files(tensor: InputTensor, limit: int) -> Images:
    data = tensor.data if isinstance(tensor.data, list) else [tensor.data]
    count = math.prod(tensor.shape)
    if count > limit or len(data) > limit:
        raise Refusal(413, f"{max(count, len(data))} images; expected {limit} at most")
    if count != len(data) or not all(isinstance(each, str) for each in data):
        raise Refusal(400, f"data: expected {count} texts in base64, as the shape says")
    try:
        return [base64.b64decode(each, validate=True) for each in data]
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"data: not base64 ({error})") from None


def _pixels(data: Any, count: int) -> NDArray[np.uint8]:
    """Return `count` pixels from numbers or nested lists of them. Numpy sees bytes alone: of texts it would make an array in which
    each takes as much memory as the longest."""
    numbers = _flat(data)
    try:
        if len(numbers) == count and set(map(type, numbers)) == {int}:
            return np.frombuffer(bytearray(numbers), np.uint8)
    except (ValueError, OverflowError):  # not from 0 to 255
        pass
    raise Refusal(400, f"data: expected {count:,} integers from 0 to 255, as the shape says")


def _flat(data: Any) -> list[Any]:
    """Return the members of nested lists whose rows have equal lengths, in order; nothing of others."""
    rows = data if isinstance(data, list) else []
    while rows and isinstance(rows[0], list):
        if set(map(type, rows)) != {list} or len(set(map(len, rows))) > 1:
            return []
        rows = list(chain.from_iterable(rows))
    return rows


def response(
    request: InferRequest, answers: Sequence[Mapping[str, Any]], card: BundleCard, name: str, version: str
) -> dict[str, Any]:
    """Return the response with the outputs that the request wants, or all.

    Raises:
        Refusal: 400, it wants an output that the model does not have.
    """
    outputs = [_tensor("answer", "BYTES", [len(answers)], [json.dumps(each, allow_nan=False) for each in answers])]
    if card.kind in _PROBABILITIES:
        rows = [value for each in answers for value in each["probabilities"].values()]
        outputs.append(_tensor("probabilities", "FP32", [len(answers), len(card.classes)], rows))
    if card.kind == "classes":
        outputs.append(_tensor("label", "BYTES", [len(answers)], [each["label"] for each in answers]))
    wanted = [output.name for output in request.outputs]
    if missing := [each for each in wanted if each not in {output["name"] for output in outputs}]:
        raise Refusal(400, f"outputs: no {missing[0]!r}; expected {', '.join(each['name'] for each in outputs)}")
    chosen = [output for output in outputs if not wanted or output["name"] in wanted]
    named = {"model_name": name, "model_version": version}
    return {**named, **({"id": request.id} if request.id else {}), "outputs": chosen}


def metadata(card: BundleCard, name: str, version: str) -> dict[str, Any]:
    """Return the description of the model."""
    outputs = [{"name": "answer", "datatype": "BYTES", "shape": [-1]}]
    if card.kind in _PROBABILITIES:
        outputs.append({"name": "probabilities", "datatype": "FP32", "shape": [-1, len(card.classes)]})
    if card.kind == "classes":
        outputs.append({"name": "label", "datatype": "BYTES", "shape": [-1]})
    return {
        "name": name,
        "versions": [version],
        "platform": f"raytl_{card.runtime}",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        ],
        "outputs": outputs,
        "parameters": {"task": card.task, "classes": list(card.classes), "model": card.model},
    }


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}
