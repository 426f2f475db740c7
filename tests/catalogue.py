"""The catalogue of failures as rows for tests: what was seen, and what must be said about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from franking.diagnosis.diagnosis import Diagnosis
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import Rule, diagnose
from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    MessageError,
    Refused,
    Throttled,
    TLSError,
)
from franking.redaction import HIDDEN
from franking.registry import providers

ERRORS: dict[str, type[FrankingError]] = {
    "resolve": ConnectError,
    "connect": ConnectError,
    "greet": ConnectError,
    "tls": TLSError,
    "login": LoginError,
    "secret": LoginRequired,
    "message": Refused,
    "accepted": Refused,
}

VALUES: Mapping[str, Any] = {
    "account": "shop",
    "provider": "smtp",
    "route": "smtp",
    "host": "smtp.novak.cz",
    "port": 587,
    "security": "starttls",
    "username": "info@novak.cz",
    "sender": "Jan Novák <info@novak.cz>",
    "to": "me@example.cz",
}


ALL_RULES = [*GENERIC, *(rule for provider in providers() for rule in provider.rules)]

KNOWN_VALUES = """
flag directory
account name again usage unsaved provider route host port security username sender address whole_address to who scopes
mailbox problem said reason status field repair retry_after path key mode verify_message names mechanisms suggestion
recommended recommended_title recipient size limit character username_clean host_clean saved no_login by_password
port_inside usual_security service extra project correlation_id trace_id timestamp client_id tenant authority
admin_consent_url by_smtp by_api by_graph try_587 try_465 known_host starttls_here at_sign_in number about_account
about_policy about_permission about_app about_password about_company about_device about_service about_request
permissions server why beyond_users as_app app_only by_browser by_device entry
at_login at_sender at_content logged_in other_login testing sent_folder everywhere
remark_enable_access remark_allow_programs remark_separate_password remark_proton_token remark_abroad
remark_maybe_microsoft remark_ses remark_api_key remark_mailgun remark_postmark remark_smtp_key remark_mailjet
"""
"""The names that a text may ask for."""


@dataclass(frozen=True)
class Row:
    """One row of the catalogue: ``row`` is its number there; the evidence; then what must come out."""

    row: str
    code: str
    evidence: Evidence
    step: str = "message"
    who: str = "you"
    temporary: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    error: type[FrankingError] | None = None

    def __str__(self) -> str:
        return f"{self.row}-{self.code}"

    def raised(self) -> FrankingError:
        kind = self.error or ERRORS[self.step]
        return kind("It failed.", step=self.step, evidence=self.evidence)


def smtp(reply: str, **details: Any) -> Evidence:
    """Make evidence of a reply as it stands in the catalogue: ``535 5.7.8 Words``; lines are parted by ``|``."""
    code, _, rest = reply.partition(" ")
    first = rest.split(" ", 1)[0]
    enhanced = first if first.count(".") == 2 and first.replace(".", "").isdigit() else None
    text = rest.removeprefix(enhanced or "").strip()
    return Evidence("smtp", code=int(code), enhanced=enhanced, text=text.replace("|", "\n"), details=details)


def seen(kind: str, reason: str | None = None, text: str = "", code: int | None = None, **details: Any) -> Evidence:
    return Evidence(kind, code=code, text=text, reason=reason, details=details)


def judged(row: Row, rules: Iterable[Rule], values: Mapping[str, Any] = VALUES) -> Diagnosis:
    """Diagnose a row, check what holds for every diagnosis, and what the row demands."""
    rules = tuple(rules)
    error = row.raised()
    found = diagnose(error, rules, {**values, **row.values})
    assert (found.code, found.who, found.temporary) == (row.code, row.who, row.temporary)
    fitting = [rule for rule in rules if row.row in rule.note.split()]
    assert any(rule.code == row.code for rule in fitting), f"no rule for {row.code} names {row.row}"
    assert found.title
    assert found.cause
    assert found.remedies
    assert HIDDEN not in found.raw, found.raw
    for text in (found.title, found.cause, *found.remedies):
        assert "{" not in text, text
    return found


__all__ = [
    "ALL_RULES",
    "GENERIC",
    "KNOWN_VALUES",
    "VALUES",
    "ConnectTimeout",
    "MessageError",
    "Row",
    "Throttled",
    "judged",
    "seen",
    "smtp",
]
