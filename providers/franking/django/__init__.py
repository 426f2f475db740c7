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

__all__ = ["EmailBackend", "QueueBackend", "account_of"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from franking.django import account, backend

    return getattr(account, name, None) or getattr(backend, name)
