"""The Open Inference Protocol, by requests to the application in this process."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.serving.app import Application
from tests.serving.bundles import CLASSES, photo
from tests.serving.conftest import Client

Serving = Callable[..., Client]


def infer(client: Client, tensor: dict[str, Any], path: str = "/v2/models/colours/infer", **more: Any) -> Any:
    body = {"inputs": [{"name": "image", **tensor}], **more}
    return client.post(path, json.dumps(body).encode(), "application/json")


def test_the_open_inference_protocol_answers_files_and_pixels(serving: Serving) -> None:
    client, data = serving(), base64.b64encode(photo((0, 255, 0))).decode()
    response = infer(client, {"shape": [2], "datatype": "BYTES", "data": [data, data]}, id="7").json()
    outputs = {each["name"]: each for each in response["outputs"]}
    assert (response["id"], response["model_name"]) == ("7", "colours")
    assert (outputs["label"]["data"], outputs["probabilities"]["shape"]) == (["green", "green"], [2, 3])
    assert json.loads(outputs["answer"]["data"][0])["label"] == "green"
    pixels = np.zeros((8, 8, 3), int)
    pixels[..., 2] = 255
    version = client.service.live.current.version
    path = f"/v2/models/colours/versions/{version}/infer"
    for shape, values in (([8, 8, 3], pixels.ravel()), ([1, 8, 8, 3], pixels[None])):
        tensor = {"shape": shape, "datatype": "UINT8", "data": values.tolist()}
        only = infer(client, tensor, path, outputs=[{"name": "label"}]).json()
        assert only["outputs"] == [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["blue"]}]


def test_a_photo_of_a_camera_is_answered_as_text_in_base64(serving: Serving) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (300, 300, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise + np.array((190, 0, 0), np.uint8)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    response = infer(serving(), {"shape": [1], "datatype": "BYTES", "data": [data]})
    assert len(data) > 1 << 16
    assert (response.status_code, response.json()["outputs"][2]["data"]) == (200, ["red"])


def test_the_version_that_a_path_names_answers_although_another_one_comes_meanwhile(serving: Serving) -> None:
    service, sent = serving().service, list[dict[str, Any]]()
    data = base64.b64encode(photo()).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [data]}

    async def receive() -> dict[str, Any]:
        service.live.swap(replace(service.live.current, version="9"))
        return {"type": "http.request", "body": json.dumps({"inputs": [tensor]}).encode()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    version = service.live.current.version
    path = f"/v2/models/colours/versions/{version}/infer"
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "client": ("127.0.0.1", 1)}
    asyncio.run(Application(service)(scope, receive, send))
    response = json.loads(sent[1]["body"])
    assert (response["model_version"], json.loads(response["outputs"][0]["data"][0])["version"]) == (version, version)


def test_an_id_that_is_no_utf8_comes_back(serving: Serving) -> None:
    data = base64.b64encode(photo()).decode()
    response = infer(serving(), {"shape": [1], "datatype": "BYTES", "data": [data]}, id="\udc80\u00fc")
    assert (response.status_code, response.json()["id"]) == (200, "\udc80\u00fc")


def test_texts_in_place_of_pixels_take_no_memory_of_their_own(serving: Serving) -> None:
    tracemalloc.start()
    data = ["x" * 50_000] + ["y"] * 1001  # 200 MB as an array of numpy
    response = infer(serving(), {"shape": [2, 167, 3], "datatype": "UINT8", "data": data})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (response.status_code, peak < 50_000_000) == (400, True)


def test_the_protocol_describes_server_and_model(serving: Serving) -> None:
    client = serving()
    described = client.get("/v2/models/colours").json()
    assert described["parameters"]["classes"] == list(CLASSES)
    assert [each["name"] for each in described["outputs"]] == ["answer", "probabilities", "label"]
    assert client.get("/v2").json()["name"] == "raytl"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/models/colours/ready").json()["ready"] is True


@pytest.mark.parametrize(
    ("tensor", "status", "reason"),
    [
        ({"shape": [1], "datatype": "FP32", "data": [1.0]}, 400, "datatype"),
        ({"shape": [2], "datatype": "BYTES", "data": ["aa=="]}, 400, "as the shape says"),
        ({"shape": [1], "datatype": "BYTES", "data": ["%%%"]}, 400, "base64"),
        ({"shape": [1], "datatype": "BYTES", "data": [5]}, 400, "base64"),
        ({"shape": [1], "datatype": "BYTES", "data": {"a": "AAAA"}}, 400, "base64"),
        ({"shape": [1], "datatype": "BYTES", "data": ["AAAA"]}, 422, "not an image"),
        ({"shape": [99], "datatype": "BYTES", "data": ["AAAA"] * 99}, 413, "at most"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [0] * 11}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [256] * 12}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [-1] * 12}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [0.5] * 12}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [10**30] * 12}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [True] * 12}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [[0], [0, 1]]}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": [[0] * 6, 0]}, 400, "12 integers"),
        ({"shape": [2, 2, 3], "datatype": "UINT8", "data": {"a": 1}}, 400, "12 integers"),
        ({"shape": [2, 2, 4], "datatype": "UINT8", "data": [0] * 16}, 400, "height, width, 3"),
        ({"shape": [100000, 100000, 3], "datatype": "UINT8", "data": []}, 413, "at most"),
        ({"shape": [0, 2, 3], "datatype": "UINT8", "data": []}, 400, "shape"),
        ({"shape": [], "datatype": "UINT8", "data": []}, 400, "shape"),
    ],
)
def test_a_wrong_tensor_is_refused_with_the_reason(
    serving: Serving, tensor: dict[str, Any], status: int, reason: str
) -> None:
    response = infer(serving(), tensor)
    assert (response.status_code, reason in response.json()["error"]) == (status, True), response.text


def test_nested_json_and_outputs_that_do_not_exist_are_refused(serving: Serving) -> None:
    client = serving()
    deep = b'{"inputs": ' + b"[" * 100_000
    assert client.post("/v2/models/colours/infer", deep, "application/json").status_code == 400
    data = base64.b64encode(photo()).decode()
    tensor = {"shape": [1], "datatype": "BYTES", "data": [data]}
    assert "no 'x'" in infer(client, tensor, outputs=[{"name": "x"}]).json()["error"]
    assert client.post("/v2/models/colours/infer", b"x", "text/plain").status_code == 415
    header = {"inference-header-content-length": "10"}
    assert client.post("/v2/models/colours/infer", b"{}", "application/json", headers=header).status_code == 415
