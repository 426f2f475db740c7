"""The page in Django: ``path("settings/mail/", include(page.django_urls))``. A thin adapter: Django protects the forms,
and by default only staff sees the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from franking.web.request import LARGEST_BODY, Form, Refusal, Request, checked
from franking.web.wsgi import Handles, allowed, ended

__all__ = ["urls"]


def urls(page: Handles) -> list[Any]:
    """Return the page's URL patterns, for ``include``."""
    from django.urls import path
    from django.views.decorators.csrf import csrf_protect

    view = csrf_protect(_view(page))
    return [path("", view), path("<path:rest>", view)]


def _view(page: Handles) -> Any:
    from django.http import HttpResponse, StreamingHttpResponse
    from django.middleware.csrf import get_token

    def settings(request: Any, rest: str = "") -> Any:
        asked = Request(
            method=request.method,
            path=rest,
            query=request.GET.dict(),
            headers={name.lower(): value for name, value in request.headers.items()},
            form=lambda: _form(request),
            secure=request.is_secure(),
            native=request,
            csrf=("csrfmiddlewaretoken", get_token(request)),
            allowed=_allowed(page, request),
            language=ended(page.speaks(request)) or getattr(request, "LANGUAGE_CODE", None),
        )
        response = page.handle(asked)
        made: Any
        if isinstance(response.body, str):
            made = HttpResponse(b"".join(response.chunks()), status=response.status)
        else:
            made = StreamingHttpResponse(_pieces(request, response.chunks()), status=response.status)
        made.headers["Content-Type"] = response.type
        for name, value in response.headers.items():
            made.headers[name] = value
        for cookie in response.cookies:
            made.cookies.load(cookie)
        return made

    return settings


def _allowed(page: Handles, request: Any) -> bool:
    if page.authorize is None:
        user = getattr(request, "user", None)
        return bool(getattr(user, "is_active", False) and getattr(user, "is_staff", False))
    return allowed(page, request)


def _form(request: Any) -> Form:
    """Return what Django has read of a form: its middleware for forms comes first."""
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        raise Refusal(413, "too-large")
    files = {name: file.read() for name, file in request.FILES.items()}
    fields = {name: value for name, value in request.POST.items() if isinstance(value, str)}
    return checked(Form(fields, {name: data for name, data in files.items() if data}))


def _pieces(request: Any, pieces: Iterable[bytes]) -> Iterator[bytes] | AsyncIterator[bytes]:
    """Return a stream as the server of this request wants it."""
    if not hasattr(request, "scope"):
        return iter(pieces)

    async def each() -> AsyncIterator[bytes]:
        waiting = iter(pieces)
        while (piece := await asyncio.to_thread(next, waiting, None)) is not None:
            yield piece

    return each()
