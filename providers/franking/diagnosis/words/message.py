"""What servers write about the message itself, about their rules for it, and about troubles of their own."""

from __future__ import annotations

from franking.diagnosis.words.refusals import Says

__all__ = ["MESSAGE", "SPAM", "TROUBLE"]

_SENT = ("message", "accepted")

MESSAGE: tuple[Says, ...] = (
    Says(
        "message.line-ends",
        "bare lf|newline|linefeed|line_feed|cr|carriage_return|linefeeds",
        marks="BareLinefeeds",
        temporary=False,
        note="P32 M29",
    ),
    Says(
        "message.malformed",
        "header|headers line|lines ?is|are ~ too long",
        "header ?is ?are too long|large",
        "missing|duplicate|duplicated|multiple|more_than_one|repeated ~ header|headers|from|date|message_id",
        "header|headers ~ missing|invalid|malformed|duplicate|duplicated|required",
        "multiple ~ addresses ~ from ~ header",
        "message|mail ?is malformed",
        "malformed message|mail|mime|headers",
        "not rfc ?5322|2822|822|5321 compliant",
        "rfc 5322|2822|822 ~ compliant|compliance",
        "must be rfc",
        "not ~ rfc ~ compliant",
        step=_SENT,
        temporary=False,
        note="P33 G31 G32 M27",
    ),
    Says(
        "message.line-too-long",
        "line|lines ?is|that_is|are|that_are too long",
        "too long line|lines",
        "line|lines longer than",
        "maximum ?allowed line length",
        "line length ~ exceeds|exceeded|exceed",
        "line length limit",
        "syntax error line too long",
        step=_SENT,
        codes=(5,),
        details={"what": ("sender", "message", None)},  # to a recipient it would be a line of the dialogue
        temporary=False,
        note="P33",
    ),
    Says(
        "message.loop",
        "mail|routing|message loop|loops",
        "too many hops",
        "too many received",
        "exceeded|exceeds ~ hops|hop",
        "hop count ~ exceeded",
        "loops back",
        temporary=False,
        note="P34 G32",
    ),
    Says(
        "message.too-large",
        "message|mail|email|attachment|attachments|size|file|data ?file|size ?is ?are too large|big|long",
        "message|mail|email|attachment|attachments ?size ~ limit|exceeds|exceeded|exceed ~ limit|maximum"
        "|permitted|allowed|exceeded|size",
        "message|mail size ~ exceeds|exceeded ~ fixed|maximum|max|limit|allowed|permitted",
        "message|mail|email|attachment|header size ~ exceed|exceeds|exceeded|limit|limits|maximum|over",
        "exceeds|exceeded|exceed|over ~ size limit|limits",
        "message|mail exceeds|exceeded ~ maximum|fixed ~ size",
        "exceeds|exceeded ~ maximum|max|fixed|allowed ?message size",
        "maximum message size",
        "size limit|limits",
        "zprava|mail|email|priloha ~ prilis velk*",
        "velikost ~ prekrocen*|prekracuje",
        "nachricht|mail|e_mail|anhang ~ zu_gross",
        "message|courriel|piece_jointe ~ trop volumineu*|gros|grand",
        "wiadomosc|zalacznik ~ za_duz*|zbyt_duz*",
        temporary=False,
        note="P26 G30 M28",
    ),
    Says(
        "message.blocked-content",
        "attachment|attachments|file|files ?type|types|extension ~ not|no ~ allowed|permitted|accepted",
        "attachment|attachments ~ blocked|rejected|prohibited|forbidden|illegal|banned|disallowed",
        "illegal|blocked|forbidden|banned|dangerous|prohibited|disallowed|unacceptable ~ attachment|attachments"
        "|file|files|extension",
        "potential security issue",
        "executable|executables file|files|attachment|attachments|content",
        "prilohy|priloha|priloh ~ zakazan*|nepovolen*|blokovan*",
        "anhang|anhange|dateityp ~ nicht|blockiert|verboten|unzulassig",
        "piece_jointe|pieces_jointes|fichier ~ interdit*|bloque*|refuse*",
        "zalacznik* ~ zablokowan*|niedozwolon*|zabronion*",
        step=_SENT,
        temporary=False,
        note="G29",
    ),
    Says(
        "message.virus",
        "virus|malware|trojan|ransomware|viruses|wirus|vir|maliciel",
        "message|mail|content|attachment|file ?is ?was infected",
        "clamav|clamd",
        step=_SENT,
        temporary=False,
        note="P31",
    ),
    Says(
        "message.spam",
        "refused by local policy no spam please",
        "mail|message content denied",
        marks=r"\bDT:SPM\b",
        step=_SENT,
        note="P31",
    ),
    Says(
        "server.policy",
        "policy violation|violations|reason|reasons|restriction|restrictions|rejection|rejected|rejects|block",
        "rejected|refused|blocked|denied|prohibited ~ policy|policies",
        "violates|violated|violation|against ~ policy|policies",
        "administrative|administratively prohibited|prohibition|denied",
        "rejected|blocked|denied by ~ rule|administrator|filter_rule",
        "zasad* ~ zamitnut*|odmitnut*",
        "richtlinie|richtlinien",
        "strategie de securite",
        "polityka|polityki ~ bezpieczenstwa",
        step=_SENT,
        who="admin",
    ),
)

SPAM: tuple[Says, ...] = (
    Says(
        "message.spam",
        "spam",
        "identified|classified|detected|considered|marked|flagged|recognized|looks|look|appears|seems ~ spam|junk",
        "spam message|content|rejected|detected|score|mail|email|filter",
        "message|mail ~ rejected|refused|blocked ~ spam",
        "message|mail ?was ?content rejected ~ content",
        "content rejected|filter|filtered",
        "high|spam score",
        "junk mail|email",
        "unsolicited ?bulk|commercial mail|email|messages|message|bulk",
        "spamassassin|rspamd|milter",
        "als spam",
        "jako spam",
        step=_SENT,
        note="P31",
    ),
)
"""After all others: a filter often names what it is for, and then the reason."""

TROUBLE: tuple[Says, ...] = (
    Says(
        "server.trouble",
        "local|temporary|temporarily|internal|system|database|backend|server|resolver ?system ~ error|problem"
        "|problems|trouble|failure"
        "|failed",
        "server|service|system ?is ?too ?currently|temporarily overloaded|down",
        "too busy",
        "service ?is temporarily unavailable",
        "temporarily unavailable",
        "server|system configuration error|problem",
        "queue file write error",
        "insufficient|out_of|not_enough ?system|disk storage|resources|memory|disk ?space",
        "lookup failure|failed|error",
        "unable|can_not|could_not|failed ?to write|queue|process|connect|open|store",
        "not accepting ~ network messages",
        "maintenance",
        "temporarily rejected",
        "docasn* ~ chyba|nedostupn*|problem",
        "vorubergehend*|voruebergehend* ~ fehler|nicht|storung|problem",
        "erreur|panne temporaire|interne",
        "tymczasow* ~ blad|problem|niedostepn*",
        codes=(4,),
        who="provider",
        temporary=True,
        note="N28 P27 P37 G18 G43 M19",
    ),
)
