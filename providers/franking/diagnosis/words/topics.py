"""What a refusal is about where no phrase is known: a thing and what is wrong with it, anywhere in the words.

Asked after all other words. Each asks for the step at which it can be meant, because a word alone proves little.
"""

from __future__ import annotations

from franking.diagnosis.words.refusals import Says

__all__ = ["TOPICS"]

_SENT = ("message", "accepted")
_SENDER = {"what": ("sender",)}
_RECIPIENT = {"what": ("recipient",)}
_CONTENT = {"what": ("message",)}
_FROM = "sender|from|mailfrom|envelope|emetteur|absender*|odesilatel*|expediteur|nadawc*"
_WHO = "user|recipient|mailbox|account|inbox|addressee|person|customer"
_FALSE = (
    "invalid|fake|faked|forged|forgery|bogus|illegal|improper|incorrect|wrong|mismatch*|unmatched|match|matches"
    "|unvalidated|unverified|unauthorized|unauthorised|differ|differs|different|spoof*"
)
_DENIED = "deny|denies|denied|refuse*|reject*|prohibit*|disallow*|forbid*|disabled|not"
_MUCH = "too_many|too_much|excessive|exceed*|heavy|flood*|over_limit|out_of"

TOPICS: tuple[Says, ...] = (
    Says("blocklisted", "black|blacklist*|block_list & ip|ips", "rbl|dnsbl|rbls", step=("greet",), temporary=False),
    Says("greet.name-refused", "helo*|ehlo*", step=("greet",), codes=(5,), temporary=False),
    Says("rate.connections", f"connection*|connect|connects|sessions & {_MUCH}", step=("greet",), temporary=True),
    Says("login.too-many", f"fail*|attempt*|tries|bad & auth*|login* & {_MUCH}", step=("login",), temporary=True),
    Says(
        "login.missing",
        "auth*|login|logged|log_in & require*|must|please|first|need*|without",
        step=_SENT,
        codes=(5,),
        when=lambda _, values: bool(values.get("no_login")),
        temporary=False,
    ),
    Says("relay.denied", f"relay* & {_DENIED}", step=_SENT, codes=(5,), temporary=False),
    Says(
        "sender.not-owned",
        f"{_FROM} & {_FALSE}",
        f"username|login|authenticated & {_FALSE}",
        step=_SENT,
        codes=(5,),
        details=_SENDER,
        temporary=False,
    ),
    Says(
        "quota.exceeded",
        f"daily|hourly|monthly|per_day|per_hour|hour|day & limit*|quota|maximum|{_MUCH}",
        "limit*|quota|allowance & sent|sending|send|outgoing|outbound|submission & reached|exceed*|over|hit|used",
        step=_SENT,
        temporary=True,
    ),
    Says(
        "rate.limited",
        "too_many|too_much|excessive|heavy|flood* & mail|mails|emails|messages|usage|sending|traffic|volume",
        "same|identical|similar & too_many|many & mails|messages|emails|mail",
        step=("greet", *_SENT),
        temporary=True,
    ),
    Says(
        "address.syntax",
        "character*|char|chars|syntax|malformed|format & address*|recipient|mailbox",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.full",
        f"quota|full|storage|space & {_WHO}",
        details=_RECIPIENT,
        temporary=True,
    ),
    Says(
        "recipient.disabled",
        f"lock|locked|suspend*|disabled|inactiv*|frozen|closed|deactivat*|terminated & {_WHO}",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.unknown",
        f"unknown|exist|exists|existing|nonexist*|found & {_WHO}|address",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says("message.loop", "loop*", step=_SENT, details=_CONTENT, codes=(5,), temporary=False),
    Says(
        "message.too-large",
        "attachment*|message|mail|size & too_long|too_large|too_big|oversize*",
        "size & exceed*|limit*|maximum|max",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
)
