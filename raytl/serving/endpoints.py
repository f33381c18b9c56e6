"""The endpoints: a request's body to photos, photos to answers, answers to JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from raytl.run.provenance import version as raytl_version
from raytl.serving import pages, protocol
from raytl.serving.live import Answered, ServedModel
from raytl.serving.payload import Photo, check_media_type, files_of, is_form, media_type, uri_in
from raytl.serving.refusal import Refusal
from raytl.serving.service import Service

_COMMON = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Json(Response):
    """A JSON response."""

    media_type = "application/json"

    def __init__(self, value: Any, status: int = 200, background: BackgroundTask | None = None) -> None:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        content = text.encode(errors="backslashreplace")  # half of a surrogate pair, such as of a client's id
        super().__init__(content, status, _COMMON, background=background)


class Endpoints:
    """The endpoints of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def predict(self, request: Request) -> Response:
        """Answer the photos of a body: one answer, or for a form a list."""
        service, headers = self.service, request.scope["raytl.headers"]
        kind = media_type(headers)
        check_media_type(kind)
        service.photos.check()
        body = await service.bodies.read(request.receive, headers)
        held = len(body)
        try:
            if kind == "application/json":
                photos = [Photo(await service.fetched(uri_in(bytes(body))))]
                service.bodies.hold(len(photos[0].content))
                held += len(photos[0].content)
            elif is_form(kind):  # the parser may take seconds for a form that is all boundaries
                photos = await asyncio.to_thread(files_of, bytes(body), headers, service.options.limits.photos)
            else:
                photos = [Photo(bytes(body))]
            model, images = service.live.current, [photo.content for photo in photos]
            answers = await service.answers(images, model)
        finally:
            service.bodies.release(held)
        background = service.observing(images, answers, model.version)
        if not is_form(kind):
            return Json(_unrefused(answers)[0].answer, background=background)
        return _listed(photos, answers, background)

    async def infer(self, request: Request) -> Response:
        """Answer an inference request of the Open Inference Protocol."""
        service, limits = self.service, self.service.options.limits
        model = self._named(request)
        if media_type(request.scope["raytl.headers"]) not in ("application/json", "application/octet-stream", ""):
            raise Refusal(415, "Content-Type: expected application/json")
        if b"inference-header-content-length" in request.scope["raytl.headers"]:
            raise Refusal(415, "the binary tensor extension is not supported; expected data in JSON")
        service.photos.check()
        body = await service.bodies.read(request.receive, request.scope["raytl.headers"])
        try:
            parsed = await asyncio.to_thread(protocol.read_request, bytes(body))
            images = await asyncio.to_thread(protocol.images_of, parsed, limits.photos, limits.max_pixels)
            answers = await service.answers(images, model)
        finally:
            service.bodies.release(len(body))
        plain = [each.answer for each in _unrefused(answers)]
        result = protocol.response(parsed, plain, model.bundle.card, service.name, model.version)
        return Json(result, background=service.observing(images, answers, model.version))

    async def model(self, request: Request) -> Response:
        """Return the description of the model."""
        current = self._named(request)
        return Json(protocol.metadata(current.bundle.card, self.service.name, current.version))

    async def model_ready(self, request: Request) -> Response:
        """Return that the model is ready."""
        self._named(request)
        return Json({"name": self.service.name, "ready": True})

    async def server(self, _: Request) -> Response:
        """Return the description of the server."""
        return Json({"name": "raytl", "version": raytl_version("raytl") or "", "extensions": []})

    async def live(self, _: Request) -> Response:
        """Return that the process answers."""
        return Json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Return that there is a model, and which."""
        return Json(self.service.readiness(self.service.access.knows(request.scope["raytl.headers"])))

    async def metrics(self, _: Request) -> Response:
        """Return the metrics."""
        return Response(self.service.metrics(), headers=_COMMON, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, _: Request) -> Response:
        """Return the OpenAPI document."""
        return Json(pages.openapi(self.service.live.current.bundle.card, self.service.name))

    async def docs(self, _: Request) -> Response:
        """Return the page that describes the endpoints."""
        current = self.service.live.current
        page = pages.docs(current.bundle.card, self.service.name, current.version)
        return Response(page, headers=_COMMON | {"content-security-policy": _PAGE_POLICY}, media_type="text/html")

    def _named(self, request: Request) -> ServedModel:
        """Return the current model, if the path names it, and its version if any."""
        name, version = request.path_params["name"], request.path_params.get("version")
        current = self.service.live.current
        if name != self.service.name:
            raise Refusal(404, f"no such model; expected {self.service.name}")
        if version is not None and version != current.version:
            raise Refusal(404, f"no such version; expected {current.version}")
        return current


def router(endpoints: Endpoints) -> Router:
    """Return the routes; paths are taken literally, without redirects."""
    model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    routes = [
        Route("/predict", endpoints.predict, methods=["POST"]),
        Route("/healthz", endpoints.live),
        Route("/readyz", endpoints.ready),
        Route("/metrics", endpoints.metrics),
        Route("/openapi.json", endpoints.openapi),
        Route("/docs", endpoints.docs),
        Route("/v2", endpoints.server),
        Route("/v2/health/live", endpoints.live),
        Route("/v2/health/ready", endpoints.ready),
        *(Route(prefix, endpoints.model) for prefix in (model, version)),
        *(Route(f"{prefix}/ready", endpoints.model_ready) for prefix in (model, version)),
        *(Route(f"{prefix}/infer", endpoints.infer, methods=["POST"]) for prefix in (model, version)),
    ]
    return Router(routes, redirect_slashes=False)


_PATHS = frozenset(
    {
        "/predict",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
    }
)


def route_label(path: str) -> str:
    """Return the label of a path in metrics: one of a few, whatever clients ask for."""
    if path in _PATHS:
        return path
    if path.startswith("/v2/models/"):
        return "/v2/models/*/infer" if path.endswith("/infer") else "/v2/models/*"
    return "other"


def _unrefused(answers: list[Answered | Refusal]) -> list[Answered]:
    for each in answers:
        if isinstance(each, Refusal):
            raise each
    return answers  # type: ignore[return-value]


def _listed(photos: list[Photo], answers: list[Answered | Refusal], background: BackgroundTask | None) -> Response:
    """Return an answer or an error for each file; 422 if all are errors."""
    entries: list[dict[str, Any]] = []
    for photo, each in zip(photos, answers, strict=True):
        entry = {"error": each.reason} if isinstance(each, Refusal) else each.answer
        entries.append({"name": photo.name, **entry})
    is_bad = all(isinstance(each, Refusal) for each in answers)
    return Json({"predictions": entries}, 422 if is_bad else 200, background)
