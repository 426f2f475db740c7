"""A sign-in that a page leads through: the provider's own login in a thread, and a user interface for it that waits for
what is posted. The sign-in itself is ``gmail/login.py``'s and ``outlook/login.py``'s.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Any

from franking.auth.store import SecretStore, save_grant
from franking.errors import Evidence, FrankingError, LoginRequired, SettingsError, discreet
from franking.provider import Provider, SupportsLogin
from franking.sending.explain import explain

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.diagnosis.diagnosis import Diagnosis

__all__ = ["ANSWER_SECONDS", "SignIn", "qr"]

ANSWER_SECONDS = 300.0
"""How long a person may take to paste an address or to decide."""

_URL = re.compile(r"https?://\S+")


class SignIn:
    """One sign-in of ``account``, begun at once. It is also the ``LoginUI`` that the provider talks to.

    ``url`` is where the person signs in, ``code`` what they type there (device). ``asking`` is ``pasted`` or
    ``confirm`` while an answer is waited for, ``question`` what is asked, ``shown`` what was said since the last
    answer. At the end ``who`` or ``diagnosis`` is there.
    """

    interactive = True
    asks_again = True

    def __init__(self, account: Account, provider: Provider, store: SecretStore, way: str) -> None:
        self.account, self.way = account, way
        self.no_browser, self.device = way == "pasted", way == "device"
        self.url = self.code = self.asking = self.question = ""
        self.shown: list[str] = []
        self.again = False  # an answer was of no use: why, is shown
        self.over = False
        self.who: str | None = None
        self.diagnosis: Diagnosis | None = None
        self._answer: str | None = None
        self._given_up = False
        self._changed = threading.Condition()
        assert isinstance(provider, SupportsLogin)
        threading.Thread(target=self._work, args=(provider, store), name="franking sign-in", daemon=True).start()

    # -- what the page asks ------------------------------------------------------------------------------------------

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until there is something to show, at most so long: an address, a code, a question, the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.over or self.asking or (self.url and not self.no_browser), seconds)

    def answer(self, text: str) -> None:
        """Hand an answer over, and wait for what comes of it."""
        with self._changed:
            if not self.asking:
                return
            self._answer, self.asking, self.question = text, "", ""
            self.again = True
            self.shown.clear()
            self._changed.notify_all()
        self.settle(30.0)

    def give_up(self) -> None:
        """End it: another one begins, and nothing of this one is kept."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    # -- what the provider's login asks (LoginUI) --------------------------------------------------------------------

    def show(self, text: str) -> None:
        found = _URL.search(text)
        with self._changed:
            if found and not self.url:
                self.url = found[0].rstrip(".,")
            elif not found:
                self.shown.append(text)
            self._changed.notify_all()

    def show_code(self, code: str, url: str) -> None:
        """Show what is typed in on another device, and where."""
        with self._changed:
            self.code, self.url = code, url
            self._changed.notify_all()

    def open_url(self, url: str) -> bool:
        with self._changed:
            self.url = url
            self._changed.notify_all()
        return True

    def ask(self, question: str, *, hidden: bool = False) -> str:
        return self._asked("pasted", question)

    def confirm(self, question: str) -> bool:
        return self._asked("confirm", question) == "yes"

    def _asked(self, kind: str, question: str) -> str:
        with self._changed:
            self.asking, self.question, self._answer = kind, question, None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answer is not None or self._given_up, ANSWER_SECONDS)
            self.asking = ""
            answer: Any = self._answer
        if self._given_up or answer is None:
            raise LoginRequired("Nobody answered.", evidence=Evidence("oauth", reason="sign-in-timeout"))
        return str(answer)

    # -- the work ----------------------------------------------------------------------------------------------------

    def _work(self, provider: Any, store: SecretStore) -> None:
        who, diagnosis = None, None
        try:
            with discreet:
                grant = provider.login(self.account, self)
                with self._changed:
                    given_up = self._given_up
                if not given_up:
                    save_grant(store, self.account, grant)
                who = provider.who(grant) or ""
        except FrankingError as problem:
            diagnosis = explain(problem, self.account.referred_to_as("", ()), provider)
        except Exception as mistake:  # whatever it is, the person is told, and the log
            logging.getLogger("franking.web").exception("a sign-in of %r failed", self.account.name)
            evidence = Evidence("settings", reason="bug")
            diagnosis = explain(SettingsError(f"{type(mistake).__name__}: the log says more.", evidence=evidence))
        with self._changed:
            self.who, self.diagnosis, self.over = who, diagnosis, True
            self._changed.notify_all()


def qr(url: str) -> str:
    """Return the QR code of an address as an image for a page (a data URL)."""
    import segno

    found: str = segno.make(url, error="m").svg_data_uri(scale=4, border=2, dark="#000", light="#fff")
    return found
