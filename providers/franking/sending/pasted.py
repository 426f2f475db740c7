"""What another program showed, pasted or piped → its diagnosis: a log line, a dialog's text, a traceback, JSON, a URL.

Only the text is known: ``readings.py`` finds in it what may have been seen, and the rules of all providers decide. What
Franking itself saw is explained by ``explain.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import FALLBACKS, diagnose
from franking.discovery.recommend import better_provider
from franking.errors import Evidence, FrankingError
from franking.registry import provider as find_provider
from franking.registry import providers
from franking.sending.explain import explain, speaker_of
from franking.sending.readings import READINGS, SAID, answers, plain, replies
from franking.smtp.services import service_at

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.diagnosis.diagnosis import Diagnosis
    from franking.diagnosis.rules import Rule

__all__ = ["LONGEST", "Explanation", "explain_text"]

LONGEST = 65_536  # characters that are read, the last ones: a log ends with what went wrong


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a text means: ``recognised`` by a rule, or only quoted; ``step`` is a guess, None where there is none;
    ``host`` is the server whose words they are taken for.
    """

    diagnosis: Diagnosis
    recognised: bool
    step: str | None = None
    host: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of ``franking explain``."""
        return {
            "ok": self.recognised,
            "step": self.step,
            "step_guessed": self.step is not None,
            "host": self.host,
            "diagnosis": self.diagnosis.as_dict(),
        }


def explain_text(text: str, *, account: Account | None = None, host: str | None = None) -> Explanation:
    """Return what an error text of any program means.

    ``account``, or ``host``, say whose words they are; without them the servers that the text names count.
    """
    text = plain(text[-LONGEST:])
    hosts = _hosts(text, account, host)
    found = None
    of_an_api = False
    for reading in READINGS:
        if of_an_api and reading not in SAID:
            break
        errors = list(reading(text))
        for error in errors:
            explanation = _explanation(error, account, hosts)
            if explanation.recognised:
                return explanation
        if errors and reading in SAID:
            found = found or _explanation(errors[0], account, hosts)
            of_an_api = of_an_api or reading is answers  # whose JSON may quote a mail server
            if reading not in (answers, replies):
                break  # what somebody said clearly stands before what could be read into the rest
    if found is None:
        evidence = Evidence("", text=_last(text), reason="not-understood")
        found = Explanation(diagnose(FrankingError("", evidence=evidence), GENERIC, {}), recognised=False)
    return found


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _explanation(error: FrankingError, account: Account | None, hosts: list[str]) -> Explanation:
    diagnosis = _diagnosed(error, account, hosts)
    told = error.evidence is not None and error.evidence.reason == "unexpected-reply"  # a program saw it itself
    return Explanation(diagnosis, told or diagnosis.code not in _GENERAL, error.step, next(iter(hosts), None))


def _says_little(rule: Rule) -> bool:
    """Return whether a rule goes by the class of a reply alone."""
    by_class = bool(rule.codes) and max(rule.codes) < 10
    return by_class and not (rule.text or rule.phrase or rule.enhanced or rule.reason or rule.details or rule.when)


_GENERAL = {rule.code for _, rule in FALLBACKS} - {"connect.timeout", "connect.failed", "tls.failed", "rate.limited"}
_GENERAL |= {rule.code for kind in providers() for rule in kind.rules if _says_little(rule) and not rule.step}
"""The diagnoses of what no rule knows."""


def _diagnosed(error: FrankingError, account: Account | None, hosts: list[str]) -> Diagnosis:
    if account is not None:
        diagnosis = explain(error, account, find_provider(account.provider))
        if diagnosis.code not in _GENERAL:
            return diagnosis
    known = [owner for owner in (speaker_of(error), *map(better_provider, hosts)) if owner is not None]
    told = error.evidence.details if error.evidence else {}
    issuers = [kind for kind in providers() if kind.facts.oauth]
    issuers.sort(key=lambda kind: told.keys().isdisjoint(kind.facts.numbers))
    others = [kind for kind in providers() if not kind.facts.oauth] + issuers
    if error.evidence is not None and error.evidence.kind in ("oauth", "http"):
        others = issuers
    anybodys = [rule for owner in others for rule in owner.rules]
    if error.evidence is not None and error.evidence.kind in ("smtp", "sasl"):
        anybodys.sort(key=lambda rule: not (rule.text or rule.phrase))  # words before codes, whoever writes them
    rules = [*(rule for owner in known for rule in owner.rules), *anybodys]
    rules.sort(key=_says_little)
    return diagnose(error, [*rules, *GENERIC], {"host": next(iter(hosts), None)})


_NAME = re.compile(r"(?<![@\w.-])(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![\w(])")


def _hosts(text: str, account: Account | None, host: str | None) -> list[str]:
    """Return the server whose words they are, if anything says so: as it was told, else those named that are known."""
    if host is not None:
        return [host]
    if account is not None:
        return []
    names = dict.fromkeys(_NAME.findall(text.lower()))
    return [name for name in list(names)[:200] if better_provider(name) is not None or service_at(name) is not None][:3]
