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

from serving.server.failures import Failure, invalid, not_found
from serving.server.metadata import metadata
from serving.server.predicting import answer
from serving.server.settings import Limits
from serving.server.state import ServedModel

__all__ = ["VERSION_HEADER", "build_app"]

_DRAINED = 8
"""How many times the largest body is read and thrown away before the connection is cut:
a client that is still sending would see a reset connection in place of the answer."""

VERSION_HEADER = "X-Model-Version"
"""Of an answer to predict: the version that gave all of its predictions."""

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,19}))?"
_PREDICT = re.compile(rf"(?i){_MODEL}:(?P<method>classify|regress|predict)")
_STATUS = re.compile(rf"(?i){_MODEL}(?P<metadata>/metadata)?")


def build_app(served: ServedModel, limits: Limits) -> Starlette:
    """Builds the application that serves a model."""
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
    def __init__(self, served: ServedModel, limits: Limits) -> None:
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
            number = self._number(predict)
            self._check_available(number)
            if predict["method"].lower() != "predict":
                raise invalid(f"this model answers :predict only, found {path}")
            return await self._predict(request, number)
        status = _STATUS.fullmatch(path)
        if request.method in ("GET", "HEAD") and status:
            number = self._number(status)
            if status["metadata"]:
                return self._metadata(number)
            found = self._served.status(number)
            if found is None:
                raise self._unknown(number)
            return _response(200, found)
        raise invalid(f"Malformed request: {request.method} {path}")

    def _number(self, match: re.Match[str]) -> int | None:
        """Returns the version that a path asks for, None for no one in particular."""
        number = int(match["version"]) if match["version"] else None
        if match["name"] != self._served.name:
            raise self._unknown(number, match["name"])
        return number

    def _unknown(self, number: int | None, name: str | None = None) -> Failure:
        served = self._served
        name = name or served.name
        wanted = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        current = served.current
        have = f" version {current.number}" if current else ", no version of it yet"
        return not_found(
            f"Servable not found for request: {wanted}; this server has"
            f" {served.name!r}{have}"
        )

    def _check_available(self, number: int | None) -> None:
        served = self._served
        if not served.ready:
            raise Failure(503, f"{served.name} is {served.state}")
        version = served.find(number)
        if version is None or version.state in ("UNLOADING", "END"):
            raise self._unknown(number)
        if version.state == "LOADING":
            raise Failure(503, f"{served.name} {version.number} is LOADING")

    def _metadata(self, number: int | None) -> Response:
        self._check_available(number)
        with self._served.borrowed(number) as version:
            if version is None or version.model is None:
                raise self._unknown(number)
            specification = version.model.specification
            body = metadata(specification, self._served.name, version.number)
        return _response(200, body)

    async def _predict(self, request: Request, number: int | None) -> Response:
        if self._pending >= self._limits.pending:
            raise Failure(
                429, f"{self._pending} requests are waiting already: try again later"
            )
        if self._threads is None:  # Needs a running event loop.
            self._threads = anyio.CapacityLimiter(self._limits.threads)
        self._pending += 1
        try:
            body = await _body(request, self._limits.body_bytes)
            content, answering = await anyio.to_thread.run_sync(
                self._answer, body, number, limiter=self._threads
            )
        finally:
            self._pending -= 1
        return Response(
            content,
            media_type="application/json",
            headers={VERSION_HEADER: str(answering)},
        )

    def _answer(self, body: bytes, number: int | None) -> tuple[bytes, int]:
        """Answers in a thread. The version is borrowed no earlier, so that clients who
        send slowly, and requests that wait, keep no old one in memory."""
        with self._served.borrowed(number) as version:
            if version is None or version.model is None:
                raise self._unknown(number)
            return answer(body, version.model, self._limits), version.number


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
