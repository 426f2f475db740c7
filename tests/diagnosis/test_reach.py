"""Every rule decides something: one that nothing can reach through the accounts that there are is a mistake.

A rule is tried with evidence made of its own columns, and with every refusal of the table, through the accounts of
every provider. Rules that ask for more than columns can say (``when``) have rows of their own in the providers' tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import franking
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import Rule, deciding
from franking.errors import Evidence, FrankingError
from franking.registry import provider, providers
from franking.sending.explain import rules_for
from refusals import evidence, rows

HERE = {"sender": "info@novak.cz"}
ACCOUNTS = (
    franking.Account(name="s", provider="smtp", host="smtp.novak.cz", username="info@novak.cz", **HERE),
    franking.Account(name="z", provider="smtp", host="smtp.zoho.eu", username="info@novak.cz", **HERE),
    franking.Account(name="f", provider="smtp", host="smtp.forpsi.com", username="info@novak.cz", **HERE),
    franking.Account(name="i", provider="smtp", host="smtp.mail.me.com", username="info@novak.cz", **HERE),
    franking.Account(name="e", provider="smtp", host="smtp.sendgrid.net", username="apikey", **HERE),
    franking.Account(name="r", provider="smtp", host="smtp-relay.gmail.com", **HERE),
    franking.Account(name="g", provider="gmail", route="smtp", **HERE),
    franking.Account(name="a", provider="gmail", **HERE),
    franking.Account(name="o", provider="outlook", client_id="x", route="smtp", **HERE),
    franking.Account(name="h", provider="outlook", client_id="x", **HERE),
    franking.Account(name="d", provider="file", path="/tmp/mail", **HERE),
)
SPOKEN = (
    "* OK IMAP4rev1 ready",
    "TLS 1.0 and 1.1 are not supported",
    "policy, see https://support.forpsi.com/kb/a3900",
    "Sender address refused, see dbl.spamhaus.org",
    "Invalid email or User ID",
    "RESOLVER.RST.NotAuthorized; not authorized",
    "account has been deleted",
    "Invalid To header",
    "Need admin approval",
)
"""What a rule's regular expression is for, where no refusal of the table says it."""
STEPS = ("message", "login", "greet", "secret", None)
EVERY = [*GENERIC, *(rule for one in providers() for rule in one.rules)]
ALL = list({id(rule): rule for rule in EVERY}.values())


def _said(phrase: str) -> str:
    """Return words that say a phrase: the first way of each slot."""
    slots = [slot for slot in phrase.split() if slot != "~" and not slot.startswith("?")]
    return " ".join(slot.split("|")[0].replace("_", " ").rstrip("*") for slot in slots)


def _texts(rule: Rule) -> list[str]:
    plain = re.sub(r"\\b|[\^$]|\(\?[^)]*\)", "", rule.text).split("|")[0].replace("\\", "")
    spoken = [text for text in SPOKEN if rule.text and re.search(rule.text, text, re.IGNORECASE)]
    return [_said(rule.phrase) or plain, *spoken]


def _samples(rule: Rule) -> Iterator[tuple[FrankingError, Evidence]]:
    """Make evidence of a rule's own columns."""
    details = {name: next((one for one in wanted if one is not None), None) for name, wanted in rule.details.items()}
    enhanced = rule.enhanced[0].replace("*", "1") if rule.enhanced else None
    codes = [code if code > 9 else code * 100 + 50 for code in rule.codes] or [550, None]
    kind = rule.kind[0] if rule.kind else "smtp"
    for code, reason, text, step in product(codes, rule.reason or (None,), _texts(rule), rule.step or STEPS):
        seen = Evidence(kind, code, enhanced, text, reason, {**details, "security": "none"})
        yield FrankingError("x", step=step, evidence=seen), seen


def _deciding(
    error: FrankingError, seen: Evidence, accounts: tuple[franking.Account, ...] = ACCOUNTS
) -> Iterator[Rule]:
    for account in accounts:
        own = provider(account.provider)
        known = {"host": account.get("host"), "security": account.get("security"), "route": own.route(account)}
        yield deciding(error, seen, rules_for(error, account, own), {**known, "field": "enabled"})


@pytest.fixture(scope="module")
def reached() -> set[int]:
    """Return the rules that decided any refusal of the table, at any account."""
    found = set()
    for refusal in rows():
        account = ACCOUNTS[0].replace(host=refusal.host)
        found |= {id(rule) for rule in _deciding(*evidence(refusal), (account,))}
    return found


@pytest.mark.matrix  # nine seconds
def test_no_rule_is_out_of_reach(reached: set[int]) -> None:
    dead = []
    for rule in ALL:
        if rule.when is not None or id(rule) in reached:
            continue
        if not any(found.code == rule.code for sample in _samples(rule) for found in _deciding(*sample)):
            dead.append((rule.code, rule.phrase or rule.text or rule.reason or rule.enhanced or rule.codes))
    assert not dead, "\n".join(map(repr, dead))


def test_what_franking_itself_sees_is_seen_somewhere() -> None:
    """A reason of our own (``no-grant``) that no module writes down would wait for ever."""
    source = Path(franking.__file__).parent
    written = "".join(
        path.read_text("utf-8")
        for path in source.rglob("*.py")
        if not path.name.endswith("rules.py") and path.name != "generic.py"
    )
    written += "".join(f'"{name}-not-offered"' for name in re.findall(r'_not_offered\(\w+, "(\w+)"', written))
    ours = {reason for rule in ALL for reason in rule.reason if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", reason)}
    assert {reason for reason in ours if f'"{reason}"' not in written} == set()
