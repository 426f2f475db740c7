"""One test message under way: ``send_test`` in a thread of its own, watched by any number of readers, from the
beginning whenever they come. How it is shown is ``view.py``'s business.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from franking.account.account import Account
from franking.auth.store import SecretStore
from franking.errors import Evidence, FrankingError, SettingsError, discreet
from franking.provider import Step
from franking.redaction import Veiled
from franking.sending.testsend import TestReport, send_test

__all__ = ["FINAL_SECONDS", "TestRun"]

FINAL_SECONDS = 60.0
"""How long the page waits for any reply, unless the account says how long for the one that accepts the message: a
person watches.
"""


class TestRun:
    """A test of ``account`` to the address ``to``; begins at once and goes on whoever still looks."""

    __test__ = False  # pytest: the name begins with Test, but this is none

    def __init__(
        self,
        account: Account,
        to: str,
        *,
        store: SecretStore,
        password: Veiled[str] | None = None,
        allowed: Callable[[Account], SettingsError | None] = lambda account: None,
        language: str = "en",
    ) -> None:
        self.account, self.to, self._language = account, to, language
        self.started = time.time()
        self.report: TestReport | None = None
        self._steps: list[Step] = []
        self._changed = threading.Condition()
        if "final_timeout" not in account.given:
            account = account.replace(final_timeout=FINAL_SECONDS, timeout=min(account.timeout, FINAL_SECONDS))
        # nothing that a remedy could name in a command: the person is in front of a form
        self._tested = account.referred_to_as("", ())
        threading.Thread(
            target=self._work, args=(store, password, allowed), name="franking settings test", daemon=True
        ).start()

    @property
    def running(self) -> bool:
        return self.report is None

    def _work(
        self, store: SecretStore, password: Veiled[str] | None, allowed: Callable[[Account], SettingsError | None]
    ) -> None:
        about: dict[str, Any] = {
            "provider": self.account.provider,
            "route": self.account.get("route"),
            "sender": str(self.account.sender),
            "to": (self.to,),
        }
        try:
            with discreet:
                if (refused := allowed(self._tested)) is not None:
                    raise refused
                report = send_test(
                    self._tested,
                    self.to,
                    secret=password,  # type: ignore[arg-type]
                    observer=self._observe,
                    store=store,
                    language=self._language,
                )
        except FrankingError as problem:
            self._observe(Step(problem.step or "settings", "failed", detail=problem.message))
            report = TestReport.of_error(problem, self.account.name, steps=tuple(self._ended()), **about)
        except Exception as mistake:  # whatever it is, the person is told, and the log
            logging.getLogger("franking.web").exception("a test of %r failed", self.account.name)
            evidence = Evidence("settings", reason="bug")
            error = SettingsError(f"{type(mistake).__name__}: the program's log says more.", evidence=evidence)
            report = TestReport.of_error(error, self.account.name, steps=tuple(self._ended()), **about)
        with self._changed:
            self.report = report
            self._changed.notify_all()

    def _observe(self, step: Step) -> None:
        with self._changed:
            self._steps.append(step)
            self._changed.notify_all()

    def _ended(self) -> list[Step]:
        return [step for step in self._steps if step.status != "running"]

    def steps(self) -> Iterator[Step]:
        """Return every step from the beginning, each as soon as it is told; ends with the test."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._steps) > seen or self.report is not None)  # noqa: B023
                new, over = self._steps[seen:], self.report is not None
            seen += len(new)
            yield from new
            if over and seen >= len(self._steps):
                return

    def wait(self) -> TestReport:
        """Return the report, when there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self.report is not None)
        assert self.report is not None
        return self.report

    def as_dict(self) -> dict[str, Any]:
        """Return the report's JSON; while the test runs its ``outcome`` is None."""
        if self.report is not None:
            return self.report.as_dict()
        so_far = TestReport(
            ok=False,
            outcome="",
            account=self.account.name,
            provider=self.account.provider,
            route=self.account.get("route"),
            sender=str(self.account.sender),
            to=(self.to,),
            steps=tuple(self._ended()),
        )
        return {**so_far.as_dict(), "outcome": None}
