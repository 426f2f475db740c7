"""What a refusal is about where no phrase is known: a thing and what is wrong with it, anywhere in the words.

Asked after all other words. Each asks for the step at which it can be meant, because a word alone proves little; where
two things are spoken of, the row that demands more decides, and of two that demand as many the one that stands first.
"""

from __future__ import annotations

from franking.diagnosis.words.refusals import Says

__all__ = ["TOPICS"]

_SENT = ("message", "accepted")
_SENDER = {"what": ("sender",)}
_RECIPIENT = {"what": ("recipient",)}
_CONTENT = {"what": ("message",)}
_FROM = (
    "sender|from|mailfrom|envelope|emetteur|absender*|odesilatel*|expediteur|nadawc*|remitente|mittente|remetente"
    "|afzender"
)
_WHO = "user|recipient|mailbox|account|inbox|addressee|person|customer|destination|rcpt"
_ACCOUNT = "account|user|mailbox|domain|customer|subscription|workspace|tenant|organization|organisation"
_MAILS = "mail|mails|email|emails|e_mail|e_mails|message|messages|recipients|rcpts"
_FALSE = (
    "invalid|fake|faked|forged|forgery|bogus|illegal|improper|incorrect|wrong|mismatch*|unmatched|match|matches"
    "|unvalidated|unverified|unauthorized|unauthorised|differ|differs|different|spoof*|conform*|belong*|non_local"
    "|nonlocal|not_local|not_owned|not_yours|foreign"
)
_DENIED = "deny|denies|denied|refuse*|reject*|prohibit*|disallow*|forbid*|disabled|not"
_MUCH = "too_many|too_much|excessive|exceed*|heavy|flood*|over_limit|out_of"
_UP = f"reached|achieved|hit|used|exhausted|over|above|maximum|max|threshold|limit*|quota|only|{_MUCH}"
_LONG = (
    "daily|hourly|monthly|weekly|per_day|per_hour|per_month|per_week|a_day|an_hour|each_day|each_hour|this_hour|today"
    "|24h|24_hours|24_hour|past_hour|last_hour|last_day"
)
_SHORT = "per_second|per_minute|a_second|a_minute|per_session|per_connection|too_fast|too_quickly|frequency|interval"
_STOPPED = "suspend*|suspension|disabled|locked|frozen|banned|deactivat*|paused|terminated|revoked|barred|on_hold"
_BROKEN = (
    "error*|fail*|problem*|is_down|are_down|currently_down|temporarily_down|full|overload*|insufficient|exhausted"
    "|timeout|timed_out|crash*|broken"
)

TOPICS: tuple[Says, ...] = (
    Says(
        "blocklisted",
        "black|blacklist*|blocklist*|block_list|block_listed & ip|ips|host|client|server",
        "rbl|dnsbl|rbls",
        step=("greet", "message"),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "greet.name-refused",
        "helo*|ehlo*",
        step=("greet",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "greet.name-refused",
        "helo*|ehlo* & domain|name|host|hostname|resolve*|argument|invalid|fqdn|qualified|literal",
        step=("message",),
        codes=(501, 504, 550, 553, 554),
        temporary=False,
    ),
    Says("rate.connections", f"connection*|connect|connects|sessions & {_MUCH}", step=("greet",), temporary=True),
    Says(
        "login.too-many",
        f"fail*|attempt*|tries|bad|errors & auth*|login*|logon* & {_MUCH}",
        step=("greet", "login"),
        temporary=True,
    ),
    Says(
        "login.needs-tls",
        "tls|ssl|starttls|encrypt*|unencrypted|plaintext|insecure|vulnerable & require*|must|without|first|only|need*"
        "|mandatory|before|not_allowed|disabled|denied",
        step=("login",),
        codes=(5,),
        temporary=False,
    ),
    Says(
        "tls.required",
        "tls|ssl|starttls|encrypt*|unencrypted|insecure & require*|must|without|first|only|need*|mandatory|not_allowed"
        "|denied",
        details={"what": ("sender", "recipient")},
        codes=(5,),
        temporary=False,
    ),
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
        "address.syntax",
        "sender|from|mailfrom & invalid|malformed|bad|illegal|improper",
        step=_SENT,
        codes=(501,),
        details=_SENDER,
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        f"{_FROM} & {_FALSE}",
        f"username|login|authenticated|authentication|credentials & {_FALSE}",
        f"{_FROM} & authenticated|authorized|authorised|login|logged|username|owner|owned & must|not|only|same|equal*",
        step=_SENT,
        codes=(4, 5),
        details=_SENDER,
        temporary=False,
    ),
    Says(
        "sender.not-owned",
        "from & authenticated|login|logged|username|owner|owned & must|not|only|same|equal*|match*|belong*|conform*",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.not-verified",
        f"domain|from|sender|address|identity & verif*|unverif*|validat*|confirm*"
        f" & {_ACCOUNT}|first|before|must|please",
        details={"what": ("sender", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.domain-unknown",
        "domain|host|mx|dns & unknown|unresolv*|unresolvable|nonexist*|null|resolve|resolves|resolved|exist|exists"
        "|invalid_domain|bad_domain",
        details=_SENDER,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "sender.suspended",
        f"{_ACCOUNT}|sending|outgoing|outbound & {_STOPPED}",
        f"{_ACCOUNT} & not_allowed_to_send|not_permitted_to_send|can_not_send|may_not_send",
        details={"what": ("sender", "message")},
        codes=(5,),
        temporary=False,
    ),
    Says(
        "quota.exceeded",
        f"{_LONG} & {_UP}",
        f"hour|hours|day|days & {_MAILS} & {_UP}",
        "limit*|quota|allowance & sent|sending|send|outgoing|outbound|submission & reached|exceed*|over|hit|used",
        step=_SENT,
        temporary=True,
    ),
    Says(
        "rate.limited",
        f"{_SHORT} & {_MAILS}|limit*|rate & {_UP}",
        "rate|frequency|throughput|throttl* & limit*|exceed*|reached|high",
        "too_many|too_much|excessive|heavy|flood* & mail|mails|emails|messages|usage|sending|traffic|volume",
        "same|identical|similar & too_many|many & mails|messages|emails|mail",
        step=("greet", *_SENT),
        temporary=True,
    ),
    Says(
        "recipient.too-many",
        "recipients|rcpts|rcpt|addressees & reached|maximum|max|threshold|limit*|too_many|too_much|exceed*",
        details=_RECIPIENT,
        codes=(4,),
        temporary=True,
    ),
    Says(
        "recipient.too-many",
        "recipients|rcpts|rcpt|addressees & maximum|threshold|limit*|too_many|too_much|exceed*",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "address.syntax",
        "character*|char|chars|syntax|malformed|format & address*|recipient|mailbox",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "address.syntax",
        "character*|char|chars|syntax|malformed & address*|sender|from|mailbox",
        "domain & address*|sender|from|mailbox & missing|without|no_domain|required|must_contain|must_have|contain",
        "domain|domain_name ?name required|missing|needed|expected",
        details=_SENDER,
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
        f"not_allowed_to_receive|not_permitted_to_receive|can_not_receive & {_WHO}",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.unknown",
        f"unknown|exist|exists|existing|nonexist*|found & {_WHO}|address|email|e_mail",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "recipient.policy",
        "restrict*|permission*|private|members|subscribers|whitelist*|allowlist* & recipient*|user|mailbox|group|list"
        "|addressee|owner",
        details=_RECIPIENT,
        codes=(5,),
        temporary=False,
        who="admin",
    ),
    Says("message.loop", "loop*", step=_SENT, details=_CONTENT, codes=(5,), temporary=False),
    Says(
        "message.too-large",
        "attachment*|message|mail|data|content & too_long|too_large|too_big|oversize*|too_heavy",
        "size|length|bytes|megabytes|mb|kb & exceed*|limit*|maximum|max|threshold|too|over",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.line-ends",
        "line|lines|crlf|lf|newline* & ending*|terminat*|bare|stray|crlf & invalid|bad|wrong|must|not|illegal|missing",
        details=_CONTENT,
        temporary=False,
    ),
    Says(
        "message.blocked-content",
        "attachment*|file*|filetype|extension*|zip|executable*|macro* & block*|reject*|prohibit*|forbid*|denied|banned"
        "|danger*|disallow*|not_allowed|not_permitted|not_accepted|unsafe",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.malformed",
        "header*|rfc|mime|message_id|subject|date|structure|boundary|format & missing|invalid|malformed|duplicate*|bad"
        "|multiple|wrong|wrongly|misformatted"
        "|illegal|incorrect|required|unparsable|parse*|parsing|compliant|violat*|broken|twice|too_many",
        details=_CONTENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "message.needs-smtputf8",
        "smtputf8|utf8|utf_8|internationali*|non_ascii & require*|not|need*|unsupported|support*",
        step=_SENT,
        codes=(5,),
        temporary=False,
    ),
    Says(
        "server.trouble",
        f"service|server|system|resource*|disk|memory|database|internal|backend|queue|storage|ldap|sql|dns & {_BROKEN}",
        codes=(4,),
        who="provider",
        temporary=True,
    ),
)
