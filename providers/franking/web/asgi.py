"""The page as an ASGI application (asgi.readthedocs.io): Starlette, FastAPI. A thin adapter: the page works in a
thread, so that nobody else waits.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from franking.web.request import LARGEST_BODY, Request, read_form
from franking.web.wsgi import Handles, queried

__all__ = ["asgi"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def asgi(page: Handles) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the page as an ASGI application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no lifespan, no WebSocket
            raise RuntimeError(f"the settings page answers HTTP, not {scope['type']}")
        root = str(scope.get("root_path", ""))
        path = str(scope["path"]).removeprefix(root)
        if not path:
            await _reply(send, 308, [(b"location", f"{root}/".encode())], b"")
            return
        native = _native(scope, receive)
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        length = headers.get("content-length", "")
        body = b""
        if scope["method"] == "POST" and not (length.isdigit() and int(length) > LARGEST_BODY):
            body = await _read(receive)
        stream = memoryview(body)
        request = Request(
            method=str(scope["method"]),
            path=path.removeprefix("/"),
            query=queried(scope.get("query_string", b"").decode("latin-1")),
            headers=headers,
            form=lambda: read_form(
                headers.get("content-type", ""),
                int(length) if length.isdigit() else None,
                lambda size: bytes(stream[:size]),
            ),
            secure=scope.get("scheme") == "https",
            native=native,
            allowed=bool(await _asked(page.permits, native, page)),
            language=await _asked(page.speaks, native, page),
        )
        response = await asyncio.to_thread(page.handle, request)
        sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.header_list()]
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        pieces = iter(response.chunks() if request.method != "HEAD" else ())
        while (piece := await asyncio.to_thread(_next, pieces)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


async def _asked(function: Callable[[Any], Any], native: object, page: Handles) -> Any:
    """Ask a function of the application's, which may block and may be asynchronous."""
    answer = await asyncio.to_thread(function, native)
    if not inspect.isawaitable(answer):
        return answer
    try:
        return await answer
    except Exception as problem:  # noqa: BLE001  (whatever it is, it is a refusal)
        page.refused(problem)
        return None


async def _read(receive: Receive) -> bytes:
    """Read a body, one octet beyond the limit at most."""
    body = b""
    while len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    return body[: LARGEST_BODY + 1]


async def _reply(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _native(scope: Scope, receive: Receive) -> object:
    """Return Starlette's request where the application is Starlette's (FastAPI's too), else the scope."""
    requests = sys.modules.get("starlette.requests")
    return requests.Request(scope, receive) if requests is not None else scope


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)
