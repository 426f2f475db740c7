"""The settings page: the e-mail form that people know, with a test that tells the truth, for ``franking settings`` and
for applications.

Begin with ``page.py`` (what happens on a request) and ``request.py`` (what a request is: no framework). ``form.py``
turns what was typed into an account, ``testrun.py`` runs a test by the path that sending uses, ``signin.py`` leads
through a sign-in, ``view.py`` and ``templates/`` say what is seen, ``texts/`` in which words. ``wsgi.py``, ``asgi.py``
and ``django.py`` are thin adapters; ``local.py`` is what ``franking settings`` serves on loopback. No server is here.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from franking.web.accounts import AccountFile, AccountSource
    from franking.web.page import SettingsPage

__all__ = ["AccountFile", "AccountSource", "SettingsPage"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from franking.web import accounts, page

    return getattr(accounts, name, None) or getattr(page, name)
