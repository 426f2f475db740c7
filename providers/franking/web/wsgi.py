"""The page as a WSGI application (PEP 3333): Flask, Pyramid, wsgiref. A thin adapter: it decides nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import parse_qsl

from franking.web.request import Request, Response, read_form

__all__ = ["Handles", "allowed", "ended", "queried", "wsgi"]


class Handles(Protocol):
    """What an adapter needs of a page."""

    authorize: Any

    def handle(self, request: Request) -> Response: ...
    def permits(self, native: object) -> Any: ...
    def speaks(self, native: object) -> Any: ...
    def refused(self, problem: Exception) -> None: ...


def wsgi(page: Handles) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return the page as a WSGI application."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if not path:
            start_response("308 Permanent Redirect", [("Location", f"{environ.get('SCRIPT_NAME', '')}/")])
            return [b""]
        headers = {
            key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key.startswith("HTTP_")
        }
        length = str(environ.get("CONTENT_LENGTH") or "0")
        request = Request(
            method=str(environ["REQUEST_METHOD"]),
            path=path.removeprefix("/"),
            query=queried(str(environ.get("QUERY_STRING", ""))),
            headers=headers,
            form=lambda: read_form(
                str(environ.get("CONTENT_TYPE", "")),
                int(length) if length.isascii() and length.isdigit() else 0,
                environ["wsgi.input"].read,
            ),
            secure=environ.get("wsgi.url_scheme") == "https",
            native=environ,
            allowed=allowed(page, environ),
            language=ended(page.speaks(environ)),
        )
        response = page.handle(request)
        start_response(_status(response.status), response.header_list())
        if request.method == "HEAD":
            return [b""]
        return response.chunks()

    return application


def queried(text: str) -> dict[str, str]:
    """Read a query; what cannot be read is nothing."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        return {}


def allowed(page: Handles, native: object) -> bool:
    """Ask the application whether this request may see the page; an exception is a refusal."""
    try:
        return bool(ended(page.permits(native)))
    except Exception as problem:  # noqa: BLE001  (whatever it is, it is a refusal)
        page.refused(problem)
        return False


def ended(answer: Any) -> Any:
    """Return what an application's function returned, waiting for it where it is asynchronous."""
    if inspect.isawaitable(answer):

        async def waited() -> Any:
            return await answer

        return asyncio.run(waited())
    return answer


def _status(code: int) -> str:
    from http import HTTPStatus

    return f"{code} {HTTPStatus(code).phrase}"
