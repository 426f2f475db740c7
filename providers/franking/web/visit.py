"""One visit: which account is meant, the form as it is shown, and which password holds. What its buttons do is in
``actions.py``; who may ask was decided before.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from franking.account.account import Account
from franking.account.binding import binding_of, difference
from franking.account.environment import secret_variable
from franking.auth.secret import Grant, loads
from franking.auth.sources import Sources
from franking.auth.store import SecretStore
from franking.errors import FrankingError, SettingsError
from franking.provider import SupportsLogin, needs_secret
from franking.redaction import Veiled
from franking.web import form as forms
from franking.web import recommending, view
from franking.web.accounts import AccountSource, KnowsDefaults, KnowsProblems
from franking.web.form import Draft
from franking.web.request import Refusal, Request, Response
from franking.web.signin import qr
from franking.web.testrun import TestRun
from franking.web.visitor import Typed, Visitor
from franking.web.words import Words, languages

if TYPE_CHECKING:
    from franking.web.page import SettingsPage

__all__ = ["Visit"]


class Visit:
    """One request of one visitor, with the accounts and the store that are meant."""

    def __init__(
        self,
        page: SettingsPage,
        request: Request,
        visitor: Visitor,
        accounts: AccountSource,
        store: SecretStore,
        say: Words,
    ) -> None:
        self.page, self.request, self.visitor = page, request, visitor
        self.accounts, self.store, self.say = accounts, store, say
        self._problem: str | None = None

    # -- which account --------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the accounts that are shown."""
        try:
            every = list(self.accounts.list())
        except FrankingError as problem:
            self._problem = self.say.told(problem)
            every = []
        return every if self.page.only is None else [name for name in self.page.only if name in every]

    def _chosen(self, names: list[str]) -> str:
        """Return the account that is meant, saved or not; empty for a new one without a name."""
        asked = self.request.query.get("account")
        if self.page.only is not None:
            if asked is None:
                asked = next(iter(self.page.only), "")
            if asked not in self.page.only:
                raise Refusal(403, "not-this-account")
            return asked
        if asked is not None:
            return asked
        return self.page.first_account(names)

    def draft(self, provider: str | None = None) -> Draft:
        """Return the form of the account that is meant, as it was saved."""
        names = self.names()
        name = self._chosen(names)
        saved = None
        if name in names:
            try:
                saved = self.accounts.get(name)
            except FrankingError as problem:
                self._problem = self.say.told(problem)
            except KeyError:  # removed meanwhile
                saved = None
        if saved is not None and forms.named(saved.provider) is None:
            raise Refusal(400, "not-here")
        chosen = forms.named(provider or (saved.provider if saved is not None else forms.methods()[0].name))
        if chosen is None:
            raise Refusal(400, "no-such-method-of-sending")
        draft = Draft(self.say, chosen, saved, name=name)
        if isinstance(self.accounts, KnowsDefaults):
            try:
                draft.defaults = self.accounts.defaults(chosen.name)
            except FrankingError as problem:
                self._problem = self.say.told(problem)
        if saved is None:
            draft.fill_new()
        elif saved.provider == chosen.name:
            draft.fill(saved)
        else:
            draft.fill_new()
            draft.enabled = saved.enabled
        return draft

    # -- showing -----------------------------------------------------------------------------------------------------

    def show(
        self,
        draft: Draft | None = None,
        *,
        status: int = 200,
        said: str = "",
        run: TestRun | None = None,
        **more: Any,
    ) -> Response:
        """Show the form: as it was saved, or with what was posted."""
        if draft is None:
            draft = self.draft()
        if run is None and status == 200 and not draft.changed:
            run = self._last_of(draft)
        context = {**self._context(draft), "said": said, "run": run, **more}
        if run is not None and run.running:
            return Response(status, self.page.look.stream("page.html", context))
        return Response(status, self.page.look.render("page.html", context).replace(view.NOW, ""))

    def _context(self, draft: Draft) -> dict[str, Any]:
        names = self.names()
        name = draft.saved.name if draft.saved is not None else ""
        client = draft.provider.facts.client
        problem = self.saving_problem(draft)
        account = draft.account(name or "new") if not draft.errors and draft.texts.get("from") else None
        if account is not None:
            draft.point_out(account.referred_to_as(name, (name,) if name else ()), self.say.language)
        elif not draft.changed:
            draft.errors.clear()  # nobody typed anything yet
        return {
            "say": self.say,
            "language": self.say.language,
            "languages": languages(),
            "title": self.page.title or self.say("page.title"),
            "now": view.NOW,
            "names": names,
            "chosen": name,
            "fixed": self.page.only is not None,
            "draft": draft,
            "methods": forms.methods(),
            "csrf": self.request.csrf or ("csrf", self.visitor.token),
            "once": f"{secrets.token_urlsafe(12)}.{self.version(draft, names)}",
            "address": f"./?account={quote(draft.name if draft.saved is None else name, safe='')}",
            "advice": recommending.advise(draft, offline=True),
            "problem": problem,
            "kept": self.kept(draft),
            "to": self.visitor.to,
            "removing": bool(name) and self.visitor.removing == name,
            "conflict": None,
            "said": "",
            "run": None,
            "result_of": lambda report: view.result(report, self.say),
            "signin": self.signin_context(draft),
            "ways": self.page.ways,
            "auths": self._auths(),
            "client_kept": bool(client and client.file and draft.saved and draft.saved.get(client.key)),
            "shown_by": forms.shown_by,
            "sign_of_life": self.page.sign_of_life,
            "quote": lambda text: quote(text, safe=""),
        }

    def _auths(self) -> list[tuple[str, str]]:
        """Return the ways to log in that can be chosen; the usual one is an empty choice."""
        choices = next((key.choices for one in forms.methods() for key in one.fields if key.name == "auth"), ())
        return [("" if one == "auto" else one, self.say("auth.auto") if one == "auto" else one) for one in choices]

    def saving_problem(self, draft: Draft) -> str | None:
        """Return why nothing can be saved now, or None."""
        if self._problem is None and isinstance(self.accounts, KnowsProblems):
            self._problem = self.say.told(self.accounts.problem() or "") or None
        if self._problem is None and draft.saved is not None:
            try:
                self.store.load(draft.saved.name)
            except FrankingError as problem:
                self._problem = self.say.told(problem)
        return self._problem

    def version(self, draft: Draft, names: list[str]) -> str:
        return forms.version_of(draft.saved, names)

    def _last_of(self, draft: Draft) -> TestRun | None:
        """Return this browser's last test, where it was of the account that is shown."""
        last = self.visitor.last
        name = draft.saved.name if draft.saved is not None else ""
        if last is None or (last.account.name != name and name):
            return None
        return last if name or last.running else None

    # -- who is signed in --------------------------------------------------------------------------------------------

    def signin_context(self, draft: Draft) -> dict[str, Any] | None:
        """Return what is shown of signing in: who is signed in, and the sign-in under way."""
        if not isinstance(draft.provider, SupportsLogin):
            return None
        name = draft.saved.name if draft.saved is not None else ""
        begun = self.visitor.signins.get(name)
        image = qr(begun.url) if begun is not None and begun.code and not begun.over else ""
        return {"begun": begun, "qr": image, "who": self._who(draft)}

    def _who(self, draft: Draft) -> str | None:
        """Return who is signed in for the account, None where nobody is."""
        if draft.saved is None or draft.saved.provider != draft.provider.name:
            return None
        try:
            text = self.store.load(draft.saved.name)
            found = loads(text) if text is not None else None
        except FrankingError:  # told at the top of the page
            return None
        if not isinstance(found, Grant) or difference(found.bound, binding_of(draft.saved)):
            return None
        return found.who or self.say("signin.somebody")

    # -- passwords ---------------------------------------------------------------------------------------------------

    def kept(self, draft: Draft) -> tuple[str, str]:
        """Return where the password is that holds while the field is empty: ``environment``, ``setting``, ``typed``,
        ``stored`` or nothing; and the name of the variable or the setting.
        """
        name = draft.saved.name if draft.saved is not None else ""
        if name and os.environ.get(secret_variable(name)):
            return "environment", secret_variable(name)
        if draft.saved is not None and draft.saved.provider == draft.provider.name:
            for setting in Sources(draft.saved, self.store, os.environ).settings():
                return "setting", setting.name
        if name in self.visitor.typed:
            return "typed", ""
        try:
            if name and self.store.load(name) is not None and not draft.provider.facts.oauth:
                return "stored", ""
        except FrankingError:  # told at the top of the page
            pass
        return "", ""

    def password(self, draft: Draft, account: Account, *, needed: bool) -> Veiled[str] | None:
        """Return the password that was typed, now or before; None where it is kept elsewhere. What is wrong with that
        is said at the field.
        """
        if draft.provider.facts.oauth or not needs_secret(account, draft.provider):
            return None
        key = draft.saved.name if draft.saved is not None else ""
        if draft.password:
            password = Veiled(draft.password)
            if self.page.remembers_passwords:
                self.visitor.typed[key] = Typed(password, binding_of(account))
            return password
        where, _ = self.kept(draft)
        try:
            if where == "typed":
                typed = self.visitor.typed[key]
                if difference(typed.bound, binding_of(account)):
                    draft.wrong("password", self.say("wrong.password-elsewhere"))
                return typed.password
            if where == "stored":
                Sources(account, self.store, os.environ).password()
            elif not where and needed:
                draft.wrong("password", self.say("wrong.password-empty"))
        except SettingsError as problem:
            elsewhere = problem.evidence is not None and problem.evidence.reason == "bound-elsewhere"
            draft.wrong("password", self.say("wrong.password-elsewhere") if elsewhere else self.say.told(problem))
        return None
