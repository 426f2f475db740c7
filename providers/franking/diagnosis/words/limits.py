"""What servers write about limits, and about accounts that may not send: not activated, out of credit, stopped."""

from __future__ import annotations

from franking.diagnosis.words.refusals import BEFORE_CONTENT, Says

__all__ = ["LIMITS"]

_MAIL = "emails|e_mails|messages|mails|mail|email|recipients|message"
_SPAN = "hour|day|hourly|daily|minute|month|monthly|24"

LIMITS: tuple[Says, ...] = (
    Says(
        "service.account-inactive",
        "activate|validate|confirm your ~ account|profile",
        "verify your ?email|smtp account|profile",
        "account|profile|domain ~ not ?been ?yet ?been activated|approved|enabled|active",
        "not yet|been activated|active|approved|enabled|validated",
        "account ~ under review|investigation",
        "request activation",
        "for test|testing purposes only",
        "awaiting|pending ~ activation|approval|review",
        "access|account ~ not ~ production",
        temporary=False,
    ),
    Says(
        "service.no-credit",
        "maximum|max|your|email|sending|message credit|credits exceeded|exhausted|used|expired|reached",
        "credits|credit ~ exceeded|exhausted|used_up|expired|insufficient|limit|depleted",
        "out of credit|credits",
        "no|insufficient|enough|zero|low ~ credit|credits|balance|funds",
        "free|trial ?plan|period|tier|account ~ ended|expired|exceeded|over",
        "payment ~ required|overdue|failed|due",
        "unpaid|overdue invoice|bill|balance",
        "subscription|plan ~ expired|ended|inactive|lapsed|cancelled|canceled",
        "upgrade|renew your plan|account|subscription",
        "kredit ~ vycerpan*|nedostatecn*|dosel",
        "guthaben ~ aufgebraucht|erschopft|nicht",
        "credit|credits ~ epuise*|insuffisant*",
        "brak srodkow",
    ),
    Says(
        "sender.suspended",
        "outgoing|sending|outbound|smtp ?e ?mail|email|mails|messages ~ suspended|stopped|disabled|blocked|locked",
        "account|user|mailbox|domain|sender|customer ~ suspended|locked|blocked|disabled|banned ~ sending|spam"
        "|spamming|abuse",
        "account|mailbox|user|sender ?@ ~ suspended|blocked|disabled|banned|stopped|restricted ~ from sending",
        "account|mailbox|sender|user ~ compromised|hacked",
        "outgoing|outbound|sending ?e mail|email|mails|messages ~ suspended|stopped|disabled|blocked|locked",
        "your ?smtp account|mailbox|domain|user|subscription ?@ ?is ?has ?been ?temporarily suspended|disabled"
        "|blocked|locked"
        "|banned|deactivated|terminated|closed|restricted|paused",
        "sending ?is ?has ?been paused|suspended|stopped|disabled|blocked",
        "disabled by user|administrator|admin",
        "mail server ~ suspended",
        "unusual ?sending|sign activity",
        "compromised account|mailbox|password",
        "odesilani|odchozi ~ zablokovan*|pozastaven*|zakazan*|blokovan*",
        "versand|senden|ausgehende ~ gesperrt|blockiert|deaktiviert",
        "envoi|envois ~ bloque*|suspendu*|desactive*",
        "wysylanie|wysylka|wysylki ~ zablokowan*|zawieszon*|wylaczon*",
        step=("message", "accepted"),
        temporary=False,
    ),
    Says(
        "sender.suspended",
        "account|mailbox|user|domain|sender|customer ~ suspended|disabled|locked|blocked|deactivated|terminated"
        "|inactive|banned",
        "ucet|schranka|domena ~ zablokovan*|pozastaven*|deaktivovan*",
        "konto|postfach|absender ~ gesperrt|deaktiviert",
        "compte|expediteur ~ bloque*|suspendu*|desactive*",
        "konto|nadawca ~ zablokowan*|zawieszon*",
        details={"what": ("sender",)},
        temporary=False,
    ),
    Says(
        "quota.exceeded",
        "daily|hourly|monthly|sending|outgoing|submission|outbound|smtp|relay|send|mail|email|user|sender"
        "|account|domain|address"
        " ?user|customer|email|message|mail|rate|sending|recipient|outgoing|sent quota|limit|limits|quotas|maximum"
        " ~ exceeded|reached|over|hit|exhausted|used",
        "daily|hourly|monthly ?user user|sending|email|mail|message|smtp|sent|outgoing ~ quota|limit ~ exceeded"
        "|reached|used",
        "user|mailbox|account|domain|customer sending|outgoing|submission|outbound ~ quota|limit ~ exceeded"
        "|reached|used",
        "exceeded|reached|exceeds|exceed|over|hit|crossed|excede ~ daily|hourly|monthly|sending|outgoing"
        "|submission|outbound|smtp"
        " ~ quota|limit|limits|allowance|allocation",
        "exceeded ?the hour|hourly|daily|day limit|quota",
        "exceeded|exceeds ~ max|maximum ~ per hour|day",
        "sending too many ~ rate|limit",
        "rate overlimit",
        "only ~ emails|e_mails|messages|mails|recipients ~ per ~ day|hour|minute|minutes|hours|second|seconds",
        "emails|e_mails|messages|mails|recipients ~ per ~ day|hour|minute|minutes|hours exceeded|reached|limit",
        "per hour|day|minute|month ~ exceeded|reached|limit",
        "exceeded|reached|exceeds|over ~ max|maximum|number|limit|amount|quota ~ emails|e_mails|messages|mails"
        "|recipients",
        f"exceeded|reached|exceeds|over ~ {_MAIL} ~ per ?one {_SPAN}",
        f"max|maximum|limit|allowed|quota|more ~ {_MAIL} ~ per|an|a|each|every|in ?one|the {_SPAN}",
        f"too many ?outgoing {_MAIL} ~ per|this|last|today|in|within|a ?the|last|past {_SPAN}",
        "daily|hourly|monthly|sending|outgoing|submission ?e ?mail|email|message|smtp|rate|sent limit|quota",
        "limit|quota ~ per hour|day|month",
        "limit ~ reached|exceeded ~ today|tomorrow|hour|day",
        "out ratelimit",
        "sending limit|limits|quota",
        "limit|kvota|kvoty|limitu ~ prekrocen*|vycerpan*|dosazen*",
        "prekrocen*|prekrocili|prekrocil|dosazen*|vycerpan* ~ limit|limitu|kvota|kvoty|pocet|poctu|limity",
        "limit ~ odeslanych|odesilani|odchozich|zprav|emailu|mailu",
        "limit|kontingent|sendelimit|versandlimit|tageslimit|stundenlimit|anzahl ~ uberschritten|ueberschritten"
        "|erreicht|ausgeschopft",
        "limite|quota ~ depasse*|atteint*",
        "depasse*|atteint* ~ limite|quota|nombre",
        "limit|limitu ~ przekroczon*|osiagniet*|wyczerpan*|przekroczenie",
        "przekroczon*|przekroczono|przekroczyl*|osiagnieto ~ limit*|liczb*|dzienn*",
        marks=r"support\.forpsi\.com/kb/a(?:3900|4075|4081)\b",
        temporary=True,
        note="G20 G37 M25 M26",
    ),
    Says(
        "quota.exceeded",
        "quota exceeded",
        step=("message", "accepted"),
        codes=(5,),
        enhanced=("5.4.5",),  # X.4.5: the mail system is congested, not a mailbox full
        temporary=True,
        note="G20",
    ),
    Says(
        "rate.limited",
        "too much mail|email|messages",
        "rate limit|limits|limited|limiting|exceeded|exceeds|exceed|control",
        "ratelimit*",
        "sending|message|submission|mail|connection rate",
        "throttl*",
        "too fast|quickly|frequently|often",
        "slow down",
        "unusual rate",
        "max|maximum|many message|messages per connection|session",
        "max|maximum number ~ messages per connection|session",
        "too many requests",
        "failure sending mail try again later",  # GMX, to a mailbox that sent too much within minutes
        "rate of unsolicited mail",
        "rate ~ exceeded|exceeds",
        "excessive|high volume|rate|number",
        "too many ?recent|new|outgoing messages|mails|emails|e_mails",
        "too many ?recent messages|mails|emails",
        "reached|exceeded its|the|your limit ~ requests|host|connection|connections|client",
        "frequency ?is ?of ?sending limit*",
        "prilis mnoho|vysoka|velke ~ zprav|emailu|mailu|mnozstvi",
        "zu viele ~ nachrichten|mails|e_mails",
        "trop de ~ messages|mails|courriels|e_mails",
        "zbyt wiele|duzo ~ wiadomosci|maili",
        temporary=True,
        note="P40 P43 G17 M17 M18",
    ),
    Says(
        "sender.reputation",
        "unexpected|unusual volume|rate or user complaints",
        "user|spam complaints",
        "low|poor|bad reputation ~ sending|domain|sender|ip",
        "low|poor|bad|very|your|ip|sender|domain|sending reputation",
        "reputation",
        "message|mail ~ likely suspicious",
    ),
    Says(
        "greylisted",
        "service ?temporarily unavailable ~ try again later",
        "policy restrictions|restriction ~ try again|later",
        codes=(450, 451),
        enhanced=("4.7.1", "4.2.0"),
        details={"what": ("recipient", None)},
        step=BEFORE_CONTENT,
        temporary=True,
        note="P22",
    ),
    Says(
        "greylisted",
        "greylist*|graylist*",
        "grey|gray listed|listing|list",
        "address verification in progress",
        codes=(4,),
        step=BEFORE_CONTENT,
        temporary=True,
        note="P22",
    ),
)
