"""The errors of Franking, drawn as one tree, and the evidence that each of them carries.

    FrankingError
    ├── SettingsError (ValueError)          an account, a setting or a missing secret: nothing was tried
    ├── MessageError (ValueError)           the message cannot be sent as it is: nothing left this machine
    ├── LoginRequired (PermissionError)     a person has to sign in (again)
    └── SendError
        ├── ConnectError (ConnectionError)  no usable connection, or it broke before the message was handed over
        │   └── ConnectTimeout (TimeoutError)
        ├── TLSError (ConnectionError)      encryption could not be agreed on, or the certificate is not to be trusted
        ├── LoginError (PermissionError)    the server refused who we are
        ├── Refused                         the server refused the sender or the message
        │   ├── RecipientsRefused           … every recipient
        │   └── Throttled                   … for now: too much, too fast, or busy (``retry_after`` in seconds)
        ├── LockLost                        a stored secret's lock is another worker's by now: nothing was saved
        └── OutcomeUnknown (TimeoutError)   handed over and not answered: it may have been accepted

An error answers questions, so that nobody parses its text: ``step`` (at which step of a send), ``temporary`` (may the
same request succeed later), ``possibly_sent``, ``evidence`` (what was seen on the wire) and ``diagnosis`` (what it
means and who can mend it; filled in by the mailer, or without one where nothing was tried), which a traceback ends in.
This module explains nothing and knows no provider.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from franking.diagnosis.diagnosis import Diagnosis

__all__ = [
    "ConnectError",
    "ConnectTimeout",
    "Evidence",
    "FrankingError",
    "LockLost",
    "LoginError",
    "LoginRequired",
    "MessageError",
    "OutcomeUnknown",
    "RecipientsRefused",
    "Refused",
    "SendError",
    "SettingsError",
    "TLSError",
    "Throttled",
    "discreet",
]


class Evidence(NamedTuple):
    """What was seen when something failed: the input of a diagnosis, never its conclusion.

    ``kind`` is the layer that spoke, one of ``dns``, ``connect``, ``tls``, ``smtp``, ``sasl``, ``http``, ``oauth``,
    ``store``, ``settings``, ``message``, ``machine``. ``code`` is an SMTP reply code or an HTTP status. ``enhanced`` is
    an RFC 3463 code such as ``5.7.8``. ``text`` is what the other side said: untrusted, bounded, free of secrets.
    ``reason`` is the machine's own word for it: an OAuth ``error``, Graph's ``error.code``, Gmail's ``reason``,
    OpenSSL's ``reason``, or the network's ``refused``, ``timeout``, ``reset``, ``closed``, ``unreachable``,
    ``not-found``, ``no-address``, ``no-dns``, ``bad-name``. ``details`` holds all else by name (``errno``, ``host`` …).
    """

    kind: str
    code: int | None = None
    enhanced: str | None = None
    text: str = ""
    reason: str | None = None
    details: Mapping[str, Any] = {}

    @property
    def raw(self) -> str:
        """Return the other side's own words on one line, its codes first."""
        codes = " ".join(str(part) for part in (self.code, self.enhanced) if part is not None)
        return " ".join(part for part in (codes, self.text or self.reason) if part)


class FrankingError(Exception):
    """The root of every error that Franking raises on purpose.

    ``str(error)`` is one plain sentence. All attributes survive pickling.
    """

    step: str | None = None
    temporary = False
    possibly_sent = False
    explained_alone: ClassVar[Callable[..., Diagnosis] | None] = None
    """Says what an error of this kind means where nobody knows an account (``Message(…)``, ``Account(…)``). The package
    itself sets it, for this module explains nothing; nothing is kept, so that who knows more may say more.
    """

    def __init__(
        self,
        message: str,
        *,
        step: str | None = None,
        temporary: bool | None = None,
        possibly_sent: bool | None = None,
        evidence: Evidence | None = None,
        diagnosis: Diagnosis | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if step is not None:
            self.step = step
        if temporary is not None:
            self.temporary = temporary
        if possibly_sent is not None:
            self.possibly_sent = possibly_sent
        self.evidence = evidence
        self._diagnosis = diagnosis
        self._later: Callable[[FrankingError], None] | None = None
        self._notes: list[str] = []

    def __str__(self) -> str:
        return self.message

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Return what it means and who can mend it; None where nobody has looked yet."""
        found = self.explained()
        if found is None and self.explained_alone is not None:
            with suppress(ImportError, MemoryError, OSError):  # no file can be opened now
                return self.explained_alone()
        return found

    @diagnosis.setter
    def diagnosis(self, found: Diagnosis | None) -> None:
        self._diagnosis, self._later = found, None

    def explained(self) -> Diagnosis | None:
        """Return the diagnosis that somebody made who knew the account; None where nobody did."""
        if self._later is not None:
            later, self._later = self._later, None
            try:
                later(self)
            except (ImportError, MemoryError, OSError) as problem:  # no file can be opened now: perhaps later
                self._later = later
                if exhausted(problem) is None:
                    raise
        return self._diagnosis

    def explained_by(self, later: Callable[[FrankingError], None]) -> None:
        """Let its diagnosis be set when somebody asks for it: most errors are caught, and nobody does."""
        if self._diagnosis is None:
            self._later = later

    @property
    def __notes__(self) -> list[str]:
        """Return what a traceback ends in: the diagnosis, put in words only now, then the notes of others."""
        notes = self._notes  # the same list each time: add_note appends to it
        notes[:] = self._notes_of_others()
        with suppress(ImportError, MemoryError, OSError):  # no file can be opened now, not even that of the texts
            if self.diagnosis is not None:
                words = str(self.diagnosis).splitlines()
                notes.insert(0, _Told("\n".join(line for line in words if line != self.message)))
        if not notes:
            raise AttributeError("__notes__")
        return notes

    @__notes__.setter
    def __notes__(self, notes: list[str]) -> None:
        self._notes = notes

    def _notes_of_others(self) -> list[str]:
        return [note for note in self._notes if not isinstance(note, _Told)]

    def __reduce__(self) -> Any:
        """Do what was put off, and leave the note out: it is made anew."""
        own = {"_diagnosis": self.explained(), "_later": None, "_notes": self._notes_of_others()}
        return type(self), self.args, {**self.__dict__, **own}


class _Told(str):
    """The note that tells a diagnosis, so that it is found again and stands there once."""


_GENERATORS = 0x20 | 0x80 | 0x200  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def forget_locals(error: BaseException) -> None:
    """Clear the variables of the finished frames that an exception, its causes and contexts came through; lines and
    names stay.

    Error trackers show variables, and the inner frames, the SDKs' too, hold secrets. What still runs is left alone; a
    generator that rests is taken out of the traceback, because clearing it would end it; and what the application was
    handling when it called us is its own.
    """
    try:
        _forget(error)
    except BaseException:  # what strikes here leaves nothing half done
        _forget(error)
        raise


def _forget(error: BaseException) -> None:
    running: set[FrameType] = set()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        running.add(frame)
        frame = frame.f_back
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen or (link is not error and _handled_by_caller(link, running)):
            continue
        seen.add(id(link))
        waiting += (link.__cause__, link.__context__)
        _clear(link, running)


def _handled_by_caller(link: BaseException, running: set[FrameType]) -> bool:
    """Return whether a frame that is not ours, and that runs, caught it: it called us to make up for it."""
    trace = link.__traceback__
    if trace is None or trace.tb_frame not in running:
        return False
    return not str(trace.tb_frame.f_globals.get("__name__")).startswith("franking")


def _clear(link: BaseException, running: set[FrameType]) -> None:
    above: TracebackType | None = None
    trace = link.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame not in running:
            if frame.f_code.co_flags & _GENERATORS and not _ended(frame):
                if above is None:
                    link.__traceback__ = trace.tb_next
                else:
                    above.tb_next = trace.tb_next
                trace = trace.tb_next
                continue
            with suppress(RuntimeError):  # it runs in another thread
                frame.clear()
        above, trace = trace, trace.tb_next


def _ended(frame: FrameType) -> bool:
    """Return whether a generator's frame has ended: only then it holds its variables itself (CPython)."""
    import gc

    return frame.f_code in gc.get_referents(frame)


class _Discreet:
    """What ``with discreet:`` enters: whatever comes out of it has left its variables behind (``forget_locals``), also
    what is not ours: Ctrl-C, a cancellation, what a signal's handler raised in the middle of a library. It stands where
    a secret comes to life; the frame that it stands in, and those that call it, hold none in plain.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is not None:
                forget_locals(error)
        except BaseException as strike:  # on the way into it; what it strikes at is its context
            forget_locals(strike)
            raise


discreet = _Discreet()


class SettingsError(FrankingError, ValueError):
    """An account's settings, or a secret that they need, are missing or wrong; ``field`` names the key.

    ``repair`` is the shell command that mends it, where one does.
    """

    step = "settings"

    def __init__(self, message: str, *, field: str | None = None, repair: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.field = field
        self.repair = repair


class MessageError(FrankingError, ValueError):
    """The message cannot be sent as it is; ``field`` names the part of it."""

    step = "message"

    def __init__(self, message: str, *, field: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.field = field


class LoginRequired(FrankingError, PermissionError):
    """A person has to sign in (again) before anything can be sent; ``repair`` is the command that does it."""

    step = "secret"

    def __init__(self, message: str, *, repair: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.repair = repair


class SendError(FrankingError):
    """The root of everything that can go wrong between this machine and acceptance."""


class ConnectError(SendError, ConnectionError):
    """No usable connection came about, or it broke before the message was handed over.

    ``stale`` is true when an open connection turned out to be closed by the server before anything of this message
    left: the mailer then opens a new session, once.
    """

    temporary = True

    def __init__(self, message: str, *, stale: bool = False, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.stale = stale


class ConnectTimeout(ConnectError, TimeoutError):
    """The other side was silent for too long, before the message was handed over."""


class TLSError(SendError, ConnectionError):
    """Encryption could not be agreed on, or the certificate cannot be trusted."""


class LoginError(SendError, PermissionError):
    """The server refused the login; ``token_refused`` when it was an access token that a renewed one may replace."""

    step = "login"

    def __init__(self, message: str, *, token_refused: bool = False, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.token_refused = token_refused


class Refused(SendError):
    """The server refused the sender or the message; surely not accepted."""


class RecipientsRefused(Refused):
    """Every recipient was refused; ``refused`` is ``{address: {"reply": str, "temporary": bool}}``."""

    step = "message"

    def __init__(self, message: str, *, refused: Mapping[str, Mapping[str, Any]] | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.refused = dict(refused or {})


class Throttled(Refused):
    """The server wants less, or later; ``retry_after`` in seconds where it said so."""

    temporary = True

    def __init__(self, message: str, *, retry_after: float | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after


class LockLost(SendError):
    """The lock on a stored secret ran out and may be another worker's: nothing was saved."""

    step, temporary = "secret", True


class OutcomeUnknown(SendError, TimeoutError):
    """The message was handed over and no readable answer came: it may have been accepted (RFC 1047).

    ``accepted`` are the recipients whom the server had accepted. Nothing sends such a message again by itself.
    """

    step = "accepted"
    possibly_sent = True

    def __init__(self, message: str, *, accepted: tuple[str, ...] | list[str] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.accepted = list(accepted)


# -- what breaks into a send -----------------------------------------------------------------------------------------

_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, getattr(errno, "WSAEMFILE", errno.EMFILE))


def exhausted(problem: BaseException, step: str = "message") -> SendError | None:
    """Return the error to raise instead where this machine has run out of descriptors, memory or threads, be it behind
    other errors; None where it has not, or where an outcome that is not known says more.

    It stands here, as a module that is not loaded yet cannot be loaded then.
    """
    link: BaseException | None = problem
    if not isinstance(problem, Exception):  # an interruption, whatever it broke into
        return None
    for _ in range(20):
        if link is None or _is_scarcity(link):
            break
        link = link.__cause__ or link.__context__
    if link is None or not _is_scarcity(link) or isinstance(problem, OutcomeUnknown):
        return None
    number = _number(link)
    text = os.strerror(number) if number is not None else str(link) or "out of memory"
    evidence = Evidence("machine", text=text, reason="exhausted", details={"errno": number})
    if isinstance(problem, ConnectError) and problem.evidence == evidence:  # it was told already
        return problem
    if getattr(problem, "possibly_sent", False):
        words = f"This computer ran out of open files, memory or threads after the message had left: {text}."
        return OutcomeUnknown(words, evidence=evidence)
    words = f"This computer has run out of open files, memory or threads: {text}."
    return ConnectError(words, step=getattr(problem, "step", None) or step, evidence=evidence)


@contextmanager
def scarcity(step: str) -> Iterator[None]:
    """Raise what ``exhausted`` says instead of what this machine has run out of."""
    try:
        yield
    except (FrankingError, ImportError, MemoryError, OSError, RuntimeError) as problem:
        if (error := exhausted(problem, step)) in (None, problem):
            raise
        raise error from problem


def _number(problem: BaseException) -> int | None:
    """Return the system's number of an error, of one of ours that tells what it saw, of a library not loaded."""
    if isinstance(problem, ImportError):
        return next((number for number in _SCARCE if os.strerror(number) in str(problem)), None)
    if isinstance(problem, FrankingError):
        return problem.evidence.details.get("errno") if problem.evidence is not None else None
    return problem.errno if isinstance(problem, OSError) else None


def _is_scarcity(problem: BaseException) -> bool:
    if _number(problem) in _SCARCE or isinstance(problem, MemoryError):
        return True
    return isinstance(problem, RuntimeError) and str(problem) == "can't start new thread"


def mark(broken: BaseException, possibly_sent: bool) -> None:
    """Write on what broke into a send (Ctrl-C, a signal's handler) whether the message may have been accepted."""
    if not isinstance(broken, FrankingError):
        with suppress(AttributeError):
            broken.possibly_sent = possibly_sent  # type: ignore[attr-defined]
