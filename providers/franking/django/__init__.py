"""Franking as Django's mail backend: the classic ``EMAIL_BACKEND`` and the ``MAILERS`` of Django 6.1.

    EMAIL_BACKEND = "franking.django.EmailBackend"
    FRANKING_ACCOUNT = "shop"                       # a name, an account URL, or a dict of settings

    MAILERS = {"default": {"BACKEND": "franking.django.EmailBackend", "OPTIONS": {"account": "shop"}}}

It works without an entry in ``INSTALLED_APPS``; with ``franking.django`` there (``apps.py``), ``manage.py check``
reports a missing password or sign-in (``checks.py``), and ``manage.py franking_login`` mends it. Open ``backend.py``
first. Importing this package imports nothing of it: Django loads it as an application before its settings are ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from franking.django.account import account_of as account_of
    from franking.django.backend import EmailBackend as EmailBackend
    from franking.django.backend import QueueBackend as QueueBackend
    from franking.django.celery_backend import CeleryBackend as CeleryBackend

__all__ = ["CeleryBackend", "EmailBackend", "QueueBackend", "account_of"]

_HOMES = {
    "CeleryBackend": "celery_backend",
    "EmailBackend": "backend",
    "QueueBackend": "backend",
    "account_of": "account",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
