"""What the buttons of the page do: test, save, sign in, take a recommendation over, remove."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from franking.account.account import Account
from franking.auth.store import save_password
from franking.errors import Evidence, FrankingError, SettingsError
from franking.message.address import Address
from franking.provider import SupportsLogin, destination_of
from franking.redaction import Veiled
from franking.smtp.services import find
from franking.web import form as forms
from franking.web import recommending, view
from franking.web.accounts import KeepsFiles
from franking.web.form import Draft
from franking.web.request import Form, Refusal, Response
from franking.web.signin import SignIn
from franking.web.testrun import TestRun
from franking.web.visit import Visit

__all__ = ["Actions"]

_ACTIONS = ("test", "save", "signin", "use-recommendation", "remove")
_TESTS_A_MINUTE = 10
_MINUTE = 60.0


class Actions(Visit):
    """A visit that does what a button says."""

    # -- what the buttons do -----------------------------------------------------------------------------------------

    def post(self, form: Form) -> Response:
        """Do what a button says."""
        fields = form.fields
        action, once = fields.get("action", ""), fields.get("once", "")
        if action not in _ACTIONS or not once:
            raise Refusal(400, "no-form")
        if (set(fields) | set(form.files)) & forms.refused_keys():
            raise Refusal(400, "refused-key")
        draft = self.draft(fields.get("provider"))
        with self.visitor.lock:
            if once in self.visitor.runs:
                return self._again(once)
            chosen = draft.name
            draft.read(fields)
            if self.page.only is not None:  # a form names no other account
                draft.name = chosen
            if action != "remove":
                self.visitor.removing = None
            match action:
                case "test":
                    return self._test(draft, form, once)
                case "use-recommendation":
                    return self._use_recommendation(draft)
                case "signin":
                    return self._sign_in(draft, form, once)
                case "remove":
                    return self._remove(draft, once)
                case _:
                    return self._save(draft, form, once) or self._saved(draft)

    def _again(self, once: str) -> Response:
        """Answer a form that was posted before (a double click, a reload): nothing is done twice."""
        run = self.visitor.runs[once]
        if run is None:
            return self.show()
        return self._watch(run, None)

    # -- testing -----------------------------------------------------------------------------------------------------

    def _test(self, draft: Draft, form: Form, once: str) -> Response:
        to = forms.stripped(form.fields.get("to", ""))
        if to != form.fields.get("to", ""):
            draft.note("to", self.say("note.trimmed"))
        self.visitor.to = to[:320]
        try:
            to = Address.parse(to).address
        except ValueError as problem:
            told = self.say.told(problem)
            draft.wrong("to", self.say("wrong.to", problem=told) if to else self.say("wrong.to-empty"))
        account = self._account(draft)
        password = self.password(draft, account, needed=True) if account is not None else None
        if account is None or draft.errors:
            return self.show(draft, status=422)
        run = self._started(account, to, password)
        self.visitor.used(once, run)
        self.visitor.last = run
        return self._watch(run, draft)

    def _account(self, draft: Draft, client_file: str | None = None) -> Account | None:
        """Make the account that the form describes, under its name or the one that it would get."""
        name = draft.saved.name if draft.saved is not None else draft.name
        if not name:
            name = forms.free_name(draft.texts.get("from", ""), draft.provider, self.names())
        return draft.account(name, client_file)

    def _started(self, account: Account, to: str, password: Veiled[str] | None) -> TestRun:
        """Begin a test, if there is room for one."""
        page = self.page
        each = not hasattr(page.accounts, "list")  # every visitor may have accounts of their own
        key = f"{self.visitor.id} {account.name}" if each else account.name
        sent = self.visitor.sent if each else page.sent
        with page.lock:
            now = time.monotonic()
            running = page.running.get(key)
            if running is not None and running.running:
                raise Refusal(429, "test-running", retry_after=5)
            while sent and sent[0] <= now - _MINUTE:
                sent.popleft()
            if len(sent) >= _TESTS_A_MINUTE:
                raise Refusal(429, "too-many-tests", retry_after=int(sent[0] + _MINUTE - now) + 1)
            sent.append(now)
            page.running = {name: run for name, run in page.running.items() if run.running}
            run = TestRun(
                account,
                to,
                store=self.store,
                password=password,
                allowed=self._host_refused,
                language=self.say.language,
            )
            page.running[key] = run
        return run

    def _host_refused(self, account: Account) -> SettingsError | None:
        """Return the error of a server that the application does not allow."""
        host = destination_of(account, forms.named(account.provider) or forms.methods()[0]).host
        if self.page.hosts is None or not host or find(host.strip().lower().rstrip("."), self.page.hosts):
            return None
        evidence = Evidence("settings", reason="host-not-allowed", details={"host": host})
        return SettingsError(f"This program sends through other servers than {host}.", field="host", evidence=evidence)

    def _watch(self, run: TestRun, draft: Draft | None) -> Response:
        if self.request.headers.get("x-franking") == "steps":
            return Response(body=self._lines(run))
        return self.show(draft, run=run)

    def _lines(self, run: TestRun) -> Iterator[str]:
        """Tell a test to the script of the page: a line for each step as it comes, then one for the result."""
        look = self.page.look
        draft = self.draft()
        yield look.line("once.html", {"once": f"{secrets.token_urlsafe(12)}.{self.version(draft, self.names())}"})
        for step in run.steps():
            yield look.line("step.html", {"step": step, "say": self.say})
        context = {"say": self.say, "shown": view.result(run.wait(), self.say)}
        yield look.line("result.html", context)

    def status(self) -> Response:
        """Return the last test's report as JSON."""
        last = self.visitor.last
        text = json.dumps(last.as_dict() if last is not None else None, ensure_ascii=False)
        return Response(body=text, type="application/json")

    # -- saving ------------------------------------------------------------------------------------------------------

    def _save(self, draft: Draft, form: Form, once: str) -> Response | None:
        """Write the account, then its secret; return the answer if that could not be done."""
        if (problem := self.saving_problem(draft)) is not None:
            return self.show(draft, status=422, said=problem)
        names = self.names()
        if draft.saved is None and draft.name in names:
            draft.wrong("name", self.say("wrong.name-taken", name=draft.name))
        client = self._client_file(draft, form)
        account = self._account(draft)
        password = self.password(draft, account, needed=False) if account is not None else None
        version = once.partition(".")[2]
        if version and version != self.version(draft, names):
            return self._conflict(draft)
        if account is None or draft.errors:
            return self.show(draft, status=422)
        try:
            if client is not None and (facts := draft.provider.facts.client) is not None:
                account = account.replace(**{facts.key: self._keep(account.name, client)})
            self.accounts.put(account)
            if password is not None:
                save_password(self.store, account, password.reveal())
                self.visitor.typed.pop(draft.saved.name if draft.saved is not None else "", None)
        except (FrankingError, OSError) as problem:
            return self.show(draft, status=422, said=self.say.told(problem))
        draft.saved, draft.name, draft.password = account, account.name, ""
        self.visitor.used(once)
        if self.page.after_save is not None:
            self.page.after_save(account)
        return None

    def _saved(self, draft: Draft) -> Response:
        assert draft.saved is not None
        draft.fill(draft.saved)
        return self.show(draft, said=self.say("said.saved", name=draft.saved.name), good=True)

    def _conflict(self, draft: Draft) -> Response:
        """Show what was saved meanwhile beside what was typed; nothing is overwritten."""
        saved = None
        if draft.saved is not None:
            now = Draft(self.say, draft.provider, draft.saved, defaults=draft.defaults)
            now.fill(draft.saved)
            saved = [
                (key, now.texts.get(key, ""), draft.texts.get(key, ""))
                for key in forms.TEXTS
                if now.texts.get(key, "") != draft.texts.get(key, "")
            ]
        return self.show(draft, status=409, conflict=saved or [], said=self.say("said.conflict"))

    def _client_file(self, draft: Draft, form: Form) -> bytes | None:
        """Return the file by which the application makes itself known, if one was uploaded and can be right."""
        data, client = form.files.get("client_file"), draft.provider.facts.client
        if data is None or client is None or not client.file:
            return None
        with tempfile.NamedTemporaryFile(prefix="franking-", suffix=".json") as file:  # 0600
            file.write(data)
            file.flush()
            try:
                client.check(file.name)
                self._check_endpoints(data, draft)
            except SettingsError as problem:
                draft.wrong("client_file", self.say.told(problem).replace(file.name, self.say("field.client_file")))
        return data

    def _check_endpoints(self, data: bytes, draft: Draft) -> None:
        """Refuse a file that names somebody else's endpoints, where the page is not this user's own: no form leads a
        server to an address.
        """
        facts = draft.provider.facts
        own = (*facts.hosts, *facts.mx_suffixes, *facts.wrong_hosts, *(self.page.hosts or ()))
        for host in () if self.page.remembers_passwords else _hosts_in(json.loads(data)):
            if not find(host, own):
                raise SettingsError(f"{host} is not an address of {draft.provider.title}.", field="client_file")

    def _keep(self, name: str, data: bytes) -> str:
        if isinstance(self.accounts, KeepsFiles):
            return self.accounts.keep(name, data)
        from franking.atomic import make_private, write_whole
        from franking.auth.store import state_directory

        folder = state_directory(os.environ) / "clients"
        make_private(folder)
        path = folder / f"{secrets.token_hex(16)}.json"
        write_whole(path, data)
        return str(path)

    # -- the other buttons -------------------------------------------------------------------------------------------

    def _use_recommendation(self, draft: Draft) -> Response:
        advice = recommending.advise(draft, offline=False)
        if advice is None:
            return self.show(draft, said=self.say("said.nothing-known"))
        recommending.take_over(draft, advice)
        return self.show(draft, said=self.say("said.taken-over", reason=advice.found.reason))

    def recommendation(self) -> Response:
        """Return the recommendation for what stands in the form, for the script of the page."""
        query = self.request.query
        draft = self.draft(query.get("provider"))
        draft.texts |= {key: forms.stripped(query[key])[:1000] for key in forms.TEXTS if key in query}
        context = {"say": self.say, "advice": recommending.advise(draft, offline=False)}
        return Response(body=self.page.look.render("advice.html", context))

    def _remove(self, draft: Draft, once: str) -> Response:
        if draft.saved is None:
            raise Refusal(400, "nothing-to-remove")
        name = draft.saved.name
        if self.visitor.removing != name:
            self.visitor.removing = name
            self.visitor.used(once)
            return self.show(draft, said=self.say("said.really-remove", name=name))
        self.accounts.remove(name)
        with self.store.lock(name):
            self.store.delete(name)
        self.visitor.removing = None
        self.visitor.typed.pop(name, None)
        self.visitor.used(once)
        self.request.query.pop("account", None)  # type: ignore[attr-defined]
        return self.show(said=self.say("said.removed", name=name), good=True)

    # -- signing in --------------------------------------------------------------------------------------------------

    def _sign_in(self, draft: Draft, form: Form, once: str) -> Response:
        """Save the account, then begin a sign-in; or hand an answer over to the one that waits for it."""
        name = draft.saved.name if draft.saved is not None else ""
        waiting = self.visitor.signins.get(name)
        answer = self.request.query.get("answer") or form.fields.get("pasted", "").strip()
        if waiting is not None and waiting.asking and answer:
            self.visitor.used(once)
            waiting.answer(answer[:8192])
            return self.show(draft)
        if not isinstance(draft.provider, SupportsLogin):
            raise Refusal(400, "no-sign-in")
        ways = [way for way in self.page.ways if way != "device" or draft.provider.facts.device]
        way = self.request.query.get("way", ways[0])
        if way not in ways:
            raise Refusal(400, "no-form")
        self._check_client(draft, form)
        failed = self.show(draft, status=422) if draft.errors else self._save(draft, form, once)
        if failed is not None:
            return failed
        account = draft.saved
        assert account is not None
        if waiting is not None:
            waiting.give_up()
        begun = SignIn(account, draft.provider, self.store, way)
        self.visitor.signins[account.name] = begun
        begun.settle()
        return self.show(draft)

    def _check_client(self, draft: Draft, form: Form) -> None:
        client = draft.provider.facts.client
        if client is None:
            return
        own = draft.saved.get(client.key) if draft.saved is not None else None
        known = (
            own
            or draft.defaults.get(client.key)
            or any(draft.saved is not None and draft.saved.get(key) for key in client.instead)
        )
        key = "client_file" if client.file else client.key
        there = form.files.get(key) if client.file else draft.texts.get(client.key)
        if not there and not (client.file and known):
            draft.wrong(key, self.say(f"wrong.{key}"))

    def signin_state(self) -> Response:
        """Return how the sign-in stands, for the script of the page."""
        draft = self.draft()
        context = {
            "say": self.say,
            "signin": self.signin_context(draft),
            "ways": self.page.ways,
            "draft": draft,
            "address": f"./?account={quote(draft.name, safe='')}",
        }
        return Response(body=self.page.look.render("signin.html", context))


def _hosts_in(value: Any) -> Iterator[str]:
    """Return the hosts of all endpoints that a client file names; a redirect is none."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            yield from _hosts_in(inner)
        elif str(key).endswith(("_uri", "_url")):
            yield urlsplit(str(inner)).hostname or ""
