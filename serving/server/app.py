"""The routes of the server: TensorFlow Serving's, and two for health checks."""

import json
import re
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serving.saved_model import LoadedModel
from serving.server.failures import Failure, invalid, not_found
from serving.server.metadata import metadata
from serving.server.predicting import answer
from serving.server.settings import Limits
from serving.server.state import ServedVersion

__all__ = ["build_app"]

_DRAINED = 8
"""How many times the largest body is read and thrown away before the connection is cut:
a client that is still sending would see a reset connection in place of the answer."""

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,19}))?"
_PREDICT = re.compile(rf"(?i){_MODEL}:(?P<method>classify|regress|predict)")
_STATUS = re.compile(rf"(?i){_MODEL}(?P<metadata>/metadata)?")


def build_app(served: ServedVersion, limits: Limits) -> Starlette:
    """Builds the application that serves one version."""
    routes = _Routes(served, limits)
    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[
            Route("/livez", routes.live),
            Route("/readyz", routes.ready),
            Route("/{path:path}", routes.dispatch, methods=every),
        ]
    )


class _Routes:
    def __init__(self, served: ServedVersion, limits: Limits) -> None:
        self._served = served
        self._limits = limits
        self._pending = 0
        self._threads: anyio.CapacityLimiter | None = None

    async def live(self, request: Request) -> Response:
        return _response(200, {"live": True})

    async def ready(self, request: Request) -> Response:
        served = self._served
        body = {"ready": served.ready, "state": served.state}
        return _response(200 if served.ready else 503, body)

    async def dispatch(self, request: Request) -> Response:
        try:
            return await self._dispatch(request)
        except Failure as failure:
            return _response(failure.status, failure.body)
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody is there to read it.

    async def _dispatch(self, request: Request) -> Response:
        path = request.url.path
        predict = _PREDICT.fullmatch(path)
        if request.method == "POST" and predict:
            model = self._model(predict)
            if predict["method"].lower() != "predict":
                raise invalid(f"this model answers :predict only, found {path}")
            return await self._predict(request, model)
        status = _STATUS.fullmatch(path)
        if request.method in ("GET", "HEAD") and status:
            if not status["metadata"]:
                self._check_name(status)
                return _response(200, self._served.status())
            specification = self._model(status).specification
            served = self._served
            return _response(200, metadata(specification, served.name, served.number))
        raise invalid(f"Malformed request: {request.method} {path}")

    def _check_name(self, match: re.Match[str]) -> None:
        served = self._served
        name, version = match["name"], match["version"]
        if name != served.name or (version and int(version) != served.number):
            wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise not_found(
                f"Servable not found for request: {wanted}; this server has"
                f" {served.name!r} version {served.number}"
            )

    def _model(self, match: re.Match[str]) -> LoadedModel:
        self._check_name(match)
        model = self._served.model
        if model is None or not self._served.ready:
            raise Failure(503, f"{self._served.name} is {self._served.state}")
        return model

    async def _predict(self, request: Request, model: LoadedModel) -> Response:
        if self._pending >= self._limits.pending:
            raise Failure(
                429, f"{self._pending} requests are waiting already: try again later"
            )
        if self._threads is None:  # Needs a running event loop.
            self._threads = anyio.CapacityLimiter(self._limits.threads)
        self._pending += 1
        try:
            body = await _body(request, self._limits.body_bytes)
            content = await anyio.to_thread.run_sync(
                answer, body, model, self._limits, limiter=self._threads
            )
        finally:
            self._pending -= 1
        return Response(content, media_type="application/json")


async def _body(request: Request, limit: int) -> bytes:
    """Reads the body; keeps none of it that is too large.

    Raises:
        Failure: with status 413.
    """
    failure = Failure(
        413,
        f"the body is larger than {limit} bytes: send fewer instances, or start the"
        " server with a larger --max-body-bytes",
    )
    if "expect" in request.headers and _declared_bytes(request) > limit:
        raise failure  # The client waits for a word before it sends the body.
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > _DRAINED * limit:
            raise failure
    if size > limit:
        raise failure
    return b"".join(parts)


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared[:19]) if declared.isdecimal() else 0


def _response(status: int, body: dict[str, Any]) -> Response:
    return Response(
        json.dumps(body, indent=1).encode(), status, media_type="application/json"
    )
