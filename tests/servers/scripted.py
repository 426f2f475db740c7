"""A provider whose answers a test writes down beforehand: for the mailer and for bulk, where the order of events is
what counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import franking
from franking.account.fields import Field
from franking.auth.secret import Secret
from franking.errors import ConnectError, FrankingError, LoginError
from franking.provider import Facts, Observer, Receipt, RouteFacts, Step


def messages(count: int, start: int = 0) -> Iterator[franking.Message]:
    """Compose messages for r0@example.com, r1@example.com and so on, each with its number as subject and text."""
    for number in range(start, start + count):
        yield franking.Message(to=[f"r{number}@example.com"], subject=f"{number}", text=f"{number}\n")


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


class ScriptedProvider:
    """Answer each opening from ``openings`` and each send from ``answers`` (per recipient address, else in order); then
    always well.
    """

    name = "scripted"
    title = "A script"
    fields = (Field("username", help="Login name."),)
    rules = ()

    def __init__(self, *, many: bool = False, per_minute: int | None = None) -> None:
        self.facts = Facts(routes=(RouteFacts("scripted", why="For tests.", per_minute=per_minute),))
        self.openings: list[FrankingError | None] = []
        self.answers: list[Any] = []
        self.raised: BaseException | None = None  # instead of an answer: what no provider means to raise
        self.by_recipient: dict[str, list[Any]] = {}
        self.sent: list[tuple[tuple[str, ...], str]] = []
        self.tokens: list[str] = []
        self.opened = self.closed = self.open_now = self.most_open = 0
        self.lock = threading.Lock()
        self.many = many

    def settle(self, settings: Mapping[str, Any], sender: franking.Address) -> Mapping[str, Any]:
        return settings

    def route(self, account: franking.Account) -> str:
        return "scripted"

    def open(self, account: franking.Account, secret: Secret, observer: Observer) -> ScriptedSession:
        if account.username:
            self.tokens.append(secret.get())
        with self.lock:
            self.opened += 1
            answer = self.openings.pop(0) if self.openings else None
        if answer is not None:
            raise answer
        observer(Step("connect", "ok"))
        with self.lock:
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        return (ScriptedManySession if self.many else ScriptedSession)(self, observer, account.name)


class ScriptedSession:
    def __init__(self, provider: ScriptedProvider, observer: Observer, account: str) -> None:
        self.provider, self.observer, self.account = provider, observer, account
        self.is_open = True
        self.thread: int | None = None

    def send(self, envelope: franking.Envelope, content: Any) -> Receipt:
        assert self.is_open, "a closed session was used"
        provider = self.provider
        if provider.raised is not None:
            raise provider.raised
        with provider.lock:
            queue = next(
                (provider.by_recipient[one] for one in envelope.recipients if provider.by_recipient.get(one)),
                provider.answers,
            )
            answer = queue.pop(0) if queue else None
            provider.sent.append((envelope.recipients, content.message_id))
        if isinstance(answer, FrankingError):
            raise answer
        refused = answer if isinstance(answer, dict) else {}
        accepted = tuple(one for one in envelope.recipients if one not in refused)
        return Receipt(
            content.message_id,
            "scripted",
            "250 ok",
            accepted=accepted,
            refused=refused,
            bytes=content.size,
            account=self.account,
        )

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            with self.provider.lock:
                self.provider.open_now -= 1
                self.provider.closed += 1

    abort = close


class ScriptedManySession(ScriptedSession):
    """Keep ``window`` messages unanswered, as an SMTP session does; a connection error ends it for all that were
    drawn.
    """

    def send_many(
        self, jobs: Iterable[tuple[Any, franking.Envelope, Any]], *, window: int
    ) -> Iterator[tuple[Any, Receipt | FrankingError]]:
        waiting: list[tuple[Any, franking.Envelope, Any]] = []
        source = iter(jobs)
        while True:
            while len(waiting) < window:
                job = next(source, None)
                if job is None:
                    break
                waiting.append(job)
            if not waiting:
                return
            tag, envelope, content = waiting.pop(0)
            try:
                yield tag, self.send(envelope, content)
            except (ConnectError, LoginError) as error:
                yield tag, error
                for later, _, _ in waiting:
                    yield later, ConnectError("The connection broke before this message.", stale=True)
                return
            except FrankingError as error:
                yield tag, error
