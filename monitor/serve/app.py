"""The web application: a live page, the list of models, and chat completions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..models.samples import sample_images
from ..session import Monitor
from .engine import Engine, Finished
from .limits import Limits
from .question import Question, RefusedError, read_question
from .wire import Answer, refusal, refusal_event

_LOG: Final = logging.getLogger(__name__)

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_PAGE: Final = {
    "/": ("live.html", "text/html"),
    "/common.css": ("common.css", "text/css"),
    "/inside.css": ("inside.css", "text/css"),
    "/live.css": ("live.css", "text/css"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in (
            "common",
            "inside",
            "heatmap",
            "profile",
            "sight",
            "panel",
            "caption",
            "actions",
            "look",
            "answer",
            "live",
        )
    },
}
"""The page's files, by address. They and the sample images are all that a client can get."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


def make_app(
    monitor: Monitor, *, limits: Limits | None = None, hosts: tuple[str, ...] = LOOPBACK
) -> Starlette:
    """The application for one model.

    Args:
        monitor: the model.
        limits: what clients may ask for.
        hosts: names under which the server may be addressed; a web page from elsewhere that has
            its own name point here is turned away. ``"*"`` for any.
    """
    service = _Service(monitor, limits or Limits())
    return Starlette(
        routes=[
            *[Route(path, service.page) for path in service.files],
            Route("/v1/models", service.models),
            Route("/v1/chat/completions", service.complete, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
    )


class _Service:
    def __init__(self, monitor: Monitor, limits: Limits) -> None:
        self._engine = Engine(monitor, limits)
        self._limits = limits
        folder = files("sightline.monitor").joinpath("data", "web")
        self.files = {
            path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _PAGE.items()
        }
        samples = {f"/samples/{one.name}": one for one in sample_images()}
        self._samples = tuple(samples) if monitor.name == "small" else ()
        for path in self._samples:
            self.files[path] = (samples[path].read_bytes(), "image/png")

    async def page(self, request: Request) -> Response:
        content, kind = self.files[request.url.path]
        return Response(content, media_type=kind, headers=_HEADERS)

    async def models(self, _: Request) -> Response:
        monitor = self._engine.monitor
        calibration = monitor.calibration
        about = {
            "calibration": None if calibration is None else calibration.name,
            "threshold": None if calibration is None else calibration.threshold,
            "certified": getattr(calibration, "certificate", None) is not None,
            "limits": list(monitor.limits),
            "samples": list(self._samples),
        }
        model = {"id": monitor.name, "object": "model", "created": 0, "owned_by": "sightline"}
        return JSONResponse({"object": "list", "data": [{**model, "sightline": about}]})

    async def complete(self, request: Request) -> Response:
        try:
            body = await asyncio.wait_for(self._body(request), self._limits.body_seconds)
            # Pictures are decoded off the loop: they take a while, and others are being answered.
            question = await asyncio.to_thread(read_question, body, self._limits)
            events = self._engine.answer(question)
            # What is refused before the first event has a status of its own.
            first = await anext(events)
        except TimeoutError:
            late = f"A request must arrive within {self._limits.body_seconds:g} seconds."
            return _refused(RefusedError(late, status=408, code="timeout"))
        except ClientDisconnect:
            return Response(status_code=499)
        except RefusedError as error:
            return _refused(error)
        answer = Answer(self._engine.monitor.name, usage=question.usage)
        if question.stream:
            pieces = self._pieces(answer, first, events)
            return StreamingResponse(pieces, media_type="text/event-stream", headers=_HEADERS)
        return await self._whole(answer, first, events, question)

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self._limits.body_bytes:
                raise RefusedError(
                    f"A request may have at most {self._limits.body_bytes:,} bytes. Scale the "
                    f"images down.",
                    status=413,
                    code="too_large",
                )
        return bytes(body)

    async def _pieces(
        self, answer: Answer, first: Any, events: AsyncGenerator[Any]
    ) -> AsyncIterator[str]:
        yield answer.first()
        async with aclosing(events):  # a client that went away is not written for
            try:
                yield answer.piece(first)
                async for event in events:
                    piece = answer.piece(event)
                    if piece:
                        yield piece
            except RefusedError as error:
                _log(error)
                yield refusal_event(error)

    async def _whole(
        self, answer: Answer, first: Any, events: AsyncIterator[Any], question: Question
    ) -> Response:
        latest = first
        try:
            async for event in events:
                latest = event
        except RefusedError as error:
            return _refused(error)
        if not isinstance(latest, Finished):
            return _refused(RefusedError("The answer did not end.", status=500))
        return JSONResponse(answer.whole(latest), headers=_HEADERS)


def _refused(error: RefusedError) -> Response:
    _log(error)
    retry = {"Retry-After": "2"} if error.status == 503 else {}
    content = json.dumps(refusal(error), ensure_ascii=False)
    return Response(
        content,
        status_code=error.status,
        media_type="application/json",
        headers={**_HEADERS, **retry},
    )


def _log(error: RefusedError) -> None:
    if error.status >= 500 and error.__cause__ is not None:
        _LOG.error("%s", error, exc_info=error.__cause__)
