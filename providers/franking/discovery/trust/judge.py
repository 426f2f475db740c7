"""From what DNS said to findings: what is fine, what makes receivers distrust mail, and the record that would mend it.

Nothing is asked here but for the addresses of who sends, where an SPF record can only be judged by them. The words are
in ``diagnosis/texts/trust.en.toml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from franking.discovery.input import parse_target
from franking.discovery.trust import dkim, dmarc, spf_record
from franking.discovery.trust.dkim import Key
from franking.discovery.trust.dmarc import Dmarc
from franking.discovery.trust.findings import DnsRecord, Finding
from franking.discovery.trust.questions import Answer, Questions
from franking.discovery.trust.sender import Sender
from franking.discovery.trust.spf import MAX_LOOKUPS, Spf, follow, permits

__all__ = ["Judge"]

_SHOWN = 4  # MX hosts that are named


@dataclass
class Judge:
    """Judge one domain (A-labels; ``shown`` readable) for one sender, or for nobody in particular."""

    domain: str
    shown: str
    sender: Sender | None
    questions: Questions
    spf_passes: bool | None = None
    dkim_passes: bool | None = None

    def _finding(self, code: str, level: str, record: DnsRecord | None = None, **values: Any) -> Finding:
        known: dict[str, Any] = {"domain": self.shown}
        if self.sender is not None:
            known |= {"service": self.sender.facts.title, "switch": self.sender.facts.switch}
        return Finding(code, level, {**known, **values}, record)

    def _txt(self, name: str, value: str) -> DnsRecord:
        return DnsRecord(name, "TXT", value)

    @property
    def unaligned(self) -> bool:
        """Return whether it is certain that neither SPF nor DKIM will speak for the domain."""
        return self.spf_passes is False and self.dkim_passes is False

    # -- MX --------------------------------------------------------------------------------------------------------

    def mx(self, answer: Answer) -> Iterator[Finding]:
        """Judge where answers go to."""
        if answer.unknown:
            return
        if answer.void:
            yield self._finding("mx.none", "hint")
        elif not any(answer.values):
            yield self._finding("mx.null", "warning")
        else:
            yield self._finding("mx.ok", "ok", hosts=", ".join(answer.values[:_SHOWN]))

    # -- SPF -------------------------------------------------------------------------------------------------------

    def spf(self, spf: Spf) -> Iterator[Finding]:
        """Judge whom the SPF record permits."""
        if spf.problem:
            self.spf_passes = False
            yield self._spf_problem(spf)
            return
        if spf.unanswered or spf.record is None:
            return
        missing = list(self._sender(spf))
        found = [*self._spf_doubts(spf, missing), *missing]
        if not any(finding.level == "warning" for finding in found):
            values = {"service": None} if self.spf_passes is None else {}
            yield self._finding("spf.ok", "ok", lookups=spf.lookups, **values)
        yield from found

    def _spf_problem(self, spf: Spf) -> Finding:
        code = f"spf.{spf.problem}"
        values: dict[str, Any] = {"lookups": spf.lookups, "voids": spf.voids, "where": spf.where}
        record = None
        if spf.problem == "missing":
            if self.sender:
                values["spf"] = self.sender.facts.spf
                record = self._txt(self.domain, self.sender.facts.spf)
        elif spf.problem == "multiple":
            record = self._txt(self.domain, self._with_sender(spf_record.joined(spf.texts)))
        elif spf.problem == "syntax" and spf.where in spf.texts[0].split():
            values["own"] = True
            record = self._txt(self.domain, self._with_sender(spf_record.without(spf.texts[0], [spf.where])))
        elif spf.problem == "lookups" and spf.lookups <= MAX_LOOKUPS:
            values["circle"] = True
        return self._finding(code, "warning", record, **values)

    def _with_sender(self, text: str) -> str:
        """Return a record that permits the sender too."""
        if self.sender is None or any(f"include:{name}" in text.lower().split() for name in self.sender.facts.names):
            return text
        return spf_record.with_include(text, self.sender.facts.include)

    def _spf_doubts(self, spf: Spf, missing: list[Finding]) -> Iterator[Finding]:
        """Judge what the record says but for the sender; where that is ``missing``, the record that is offered has it
        too: a domain has one.
        """
        text = spf.texts[0]
        if spf.open:
            self.spf_passes = True
            words = list(dict.fromkeys(spf.open))
            closed = self._with_sender(spf_record.without(text, words))
            yield self._finding("spf.allows-all", "warning", self._txt(self.domain, closed), where=", ".join(words))
        elif spf.end in ("", "?"):
            record = None
            if spf.record is not None and spf.record.redirect is None:
                offered = (finding.record for finding in missing if finding.record)
                record = next(offered, self._txt(self.domain, spf_record.without(text, ())))
            yield self._finding("spf.open-end", "hint", record)
        if spf.ptr:
            yield self._finding("spf.ptr", "hint")

    def _sender(self, spf: Spf) -> Iterator[Finding]:
        """Judge whether the sender's servers are permitted."""
        if self.sender is None or spf.open:
            return
        facts = self.sender.facts
        self.spf_passes = permits(spf, facts.names, facts.include, self.questions)
        if self.spf_passes is None:
            yield self._finding("spf.sender-unknown", "hint", include=facts.include)
        elif not self.spf_passes:
            yield self._sender_missing(spf, facts.include)

    def _sender_missing(self, spf: Spf, include: str) -> Finding:
        theirs = follow(include, self.questions.texts(include)[0], self.questions)
        values: dict[str, Any] = {"include": include, "lookups": spf.lookups + theirs.lookups + 1}
        if values["lookups"] > MAX_LOOKUPS:
            return self._finding("spf.sender-missing", "warning", full=True, **values)
        mended = spf_record.with_include(spf_record.without(spf.texts[0], ()), include)
        return self._finding("spf.sender-missing", "warning", self._txt(self.domain, mended), **values)

    # -- DKIM ------------------------------------------------------------------------------------------------------

    def dkim(self, answers: dict[str, Answer]) -> Iterator[Finding]:
        """Judge the keys at the sender's selectors."""
        if self.sender is None:
            yield self._finding("dkim.selector-unknown", "hint")
            return
        facts = self.sender.facts
        if not facts.signs:
            self.dkim_passes = False
            yield self._finding("dkim.selector-unknown", "hint", shared=True)
            return
        if not facts.selectors:
            yield self._finding("dkim.selector-unknown", "hint", unnamed=True)
            return
        keys = [dkim.read_key(answer.values, selector) for selector, answer in answers.items() if not answer.unknown]
        key = dkim.best(keys)
        values: dict[str, Any] = {"selector": key.selector, "bits": key.bits}
        if key.state == "ok":
            self.dkim_passes = True
            short = bool(key.bits) and key.bits < dkim.USUAL
            yield self._finding("dkim.ok", "ok", **values)
            if short:
                yield self._finding("dkim.key-short", "hint", **values)
            return
        if len(keys) < len(answers):
            return  # one that nobody could ask for may be the right one
        yield from self._no_key(key, values)

    def _no_key(self, key: Key, values: dict[str, Any]) -> Iterator[Finding]:
        assert self.sender is not None
        if key.state == "testing":
            yield self._finding("dkim.testing", "hint", **values)
        elif key.state != "missing":
            self.dkim_passes = False if self.sender.facts.certain else None
            yield self._finding(f"dkim.{key.state}", "warning", weak=True, **values)
        elif self.sender.facts.certain:
            self.dkim_passes = False
            yield self._finding("dkim.missing", "warning", **values)
        else:
            yield self._finding("dkim.selector-unknown", "hint", **values)

    # -- DMARC -----------------------------------------------------------------------------------------------------

    def dmarc(self, found: Dmarc) -> Iterator[Finding]:
        """Judge what receivers are asked to do, after SPF and DKIM."""
        name = f"_dmarc.{found.location or self.domain}"
        values: dict[str, Any] = {"location": name, "policy": found.policy}
        match found.problem:
            case "unanswered":
                return
            case "missing":
                start = self._txt(f"_dmarc.{self.domain}", "v=DMARC1; p=none")
                yield self._finding("dmarc.missing", "warning" if self.unaligned else "hint", start, **values)
                return
            case "multiple":
                yield self._finding("dmarc.multiple", "warning", self._txt(name, found.text), **values)
                return
            case "syntax":
                mended = dmarc.with_tag(found.tags or {})
                yield self._finding("dmarc.syntax", "warning", self._txt(name, mended), **values)
                return
            case _:
                pass
        if self.unaligned:
            yield self._finding("dmarc.unaligned", "warning", **values)
        elif found.policy == "none":
            yield self._finding("dmarc.none", "hint", **values)
        else:
            yield self._finding("dmarc.ok", "ok", **values)
        if found.testing or found.percent:
            values["percent"] = found.percent if not found.testing else None
            tags = {key: value for key, value in (found.tags or {}).items() if key != "t"}
            yield self._finding("dmarc.testing", "hint", self._txt(name, dmarc.with_tag(tags)), **values)

    # -- whose domain it is ----------------------------------------------------------------------------------------

    def login(self, login: str) -> Iterator[Finding]:
        """Judge the login's domain beside the From, where nothing speaks for the From."""
        other = parse_target(login).name if "@" in login else ""
        related = other == self.domain or self.domain.endswith(f".{other}") or other.endswith(f".{self.domain}")
        if other and self.unaligned and not related:
            yield self._finding("domain.other-than-account", "warning", login=login, other=other)

    def unanswered(self) -> Iterator[Finding]:
        """Return what DNS gave no answer for."""
        names = self.questions.failed
        if names:
            yield self._finding("dns.unavailable", "unknown", name=", ".join(names[:_SHOWN]))
