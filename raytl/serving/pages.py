"""Descriptions of the endpoints for clients: the OpenAPI document, and a page that needs nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from raytl.bundle.card import BundleCard

_PHOTO = {"type": "string", "format": "binary"}
_FAULTS = {
    "400": "The request is malformed",
    "401": "The token is missing or wrong",
    "403": "The URI is not below an allowed prefix",
    "408": "The body did not arrive in time",
    "413": "The body, or the number of files or pixels, is too large",
    "415": "The media type is unknown",
    "422": "The image cannot be read; `error` has the reason",
    "503": "The queue is full; retry after the seconds of Retry-After",
}
ENDPOINTS = (
    ("POST", "/predict", "Answer a photo: its bytes, the files of a form, or the URI of an object."),
    ("GET", "/healthz", "The process answers."),
    ("GET", "/readyz", "There is a model; which version, and why a newer one is not served."),
    ("GET", "/metrics", "Metrics as Prometheus text."),
    ("GET", "/v2", "The server, in the Open Inference Protocol."),
    ("GET", "/v2/health/live", "The process answers."),
    ("GET", "/v2/health/ready", "There is a model."),
    ("GET", "/v2/models/{name}", "The inputs and outputs of the model."),
    ("GET", "/v2/models/{name}/ready", "The model is ready."),
    ("POST", "/v2/models/{name}/infer", "Answer BYTES (base64) or UINT8 tensors."),
    ("GET", "/openapi.json", "This interface as an OpenAPI document."),
    ("GET", "/docs", "This page."),
)


def openapi(card: BundleCard, name: str) -> dict[str, Any]:
    """Return the OpenAPI document of a server."""
    paths: dict[str, Any] = {}
    for method, path, text in ENDPOINTS:
        entry: dict[str, Any] = {"summary": text, "responses": {"200": {"description": "OK"}}}
        if "{name}" in path:
            entry["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"const": name}}]
        if path == "/predict":
            entry |= _predict(card)
        if path.endswith("/infer"):
            entry["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}
        paths.setdefault(path, {})[method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": f"raytl: {name}", "version": "1", "description": f"{card.task} by {card.model}"},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Answer": answer_schema(card), "Error": _ERROR},
        },
    }


def answer_schema(card: BundleCard) -> dict[str, Any]:
    """Return the JSON schema of the answers of a bundle."""
    number = {"type": "number", "minimum": 0, "maximum": 1}
    names = {"type": "array", "items": {"type": "string"}}
    fields: dict[str, dict[str, Any]] = {
        "classes": {
            "label": {"type": "string"},
            "confidence": number,
            "probabilities": {"type": "object", "additionalProperties": number},
            "set": names,
            "answered": {"type": "boolean"},
            "unfamiliar": {"type": "boolean"},
            "counts_as": {"type": "object", "additionalProperties": {"type": "boolean"}},
        },
        "labels": {"labels": names, "probabilities": {"type": "object", "additionalProperties": number}},
        "objects": {"objects": {"type": "array", "items": {"type": "object"}}},
        "map": {"size": {"type": "array"}, "classes": names, "map_png": {"type": "string", "format": "byte"}},
    }
    return {"type": "object", "properties": {**fields[card.kind], "version": {"type": "string"}}}


def docs(card: BundleCard, name: str, version: str) -> str:
    """Return the page that describes the endpoints, with a command for each."""
    from raytl.pages import render  # jinja2, for this page alone

    return render(
        "raytl.serving",
        "docs.html.j2",
        title=f"{name} {version}",
        card=card,
        name=name,
        version=version,
        endpoints=[(method, path.replace("{name}", name), text) for method, path, text in ENDPOINTS],
        fields=list(answer_schema(card)["properties"]),
        faults=list(_FAULTS.items()),
    )


_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def _predict(card: BundleCard) -> dict[str, Any]:
    form = {"type": "object", "additionalProperties": {"type": "array", "items": _PHOTO}}
    uri = {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]}
    answer = {"$ref": "#/components/schemas/Answer"}
    several = {"type": "object", "properties": {"predictions": {"type": "array", "items": answer}}}
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": _PHOTO},
                "application/octet-stream": {"schema": _PHOTO},
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": uri},
            },
        },
        "responses": {
            "200": {
                "description": "The answer; for a form, an answer or an error for each file",
                "content": {"application/json": {"schema": {"oneOf": [answer, several]}}},
            },
            **{code: {"description": text, **error} for code, text in _FAULTS.items()},
        },
    }
