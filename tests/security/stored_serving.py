"""The JSON of requests to a server, which is read as stored formats are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from raytl.serving import payload, protocol
from raytl.serving.refusal import Refusal
from tests.security.stored_document import Stored


def _uri(content: bytes, folder: Path) -> object:
    return payload.URI_FORMAT.read(content, "the request").uri


def _infer(content: bytes, folder: Path) -> object:
    request = protocol.INFER_FORMAT.read(content, "the request")
    try:
        images = protocol.images_of(request, 4, 100)
    except Refusal as refusal:
        return (request.id, refusal.reason)
    return (request.id, [each.tolist() if isinstance(each, np.ndarray) else each for each in images])


_TENSOR = {"name": "pixels", "shape": [1, 1, 2, 3], "datatype": "UINT8", "data": [0, 1, 2, 3, 4, 255], "parameters": {}}
SERVING = [
    Stored("serving.payload:URI_FORMAT", json.dumps({"uri": "s3://bucket/key"}).encode(), _uri, "the request"),
    Stored("serving.protocol:INFER_FORMAT",
           json.dumps({"id": "7", "inputs": [_TENSOR], "outputs": [{"name": "label"}], "parameters": {}}).encode(),
           _infer, "the request"),
]  # fmt: skip
"""The formats of requests."""
