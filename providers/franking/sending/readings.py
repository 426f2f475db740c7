"""What may have been seen where an error text of another program comes from: one reading for each way in which they are
written, the surest first, each an error with evidence. The step is a guess. What it means, rules decide.
"""

from __future__ import annotations

import base64
import html
import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from itertools import chain
from urllib.parse import unquote_plus

from franking.errors import (
    ConnectError,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    Refused,
    Throttled,
)
from franking.registry import providers
from franking.sending.programs import written_by_programs
from franking.smtp.protocol import Reply
from franking.smtp.replies import throttled

__all__ = ["READINGS", "SAID", "answers", "plain", "replies"]

# --- the text -----------------------------------------------------------------------------------------------------

_ESCAPES = {"\\r\\n": "\n", "\\n": "\n", '\\"': '"', "\\'": "'", "\\/": "/", "\\u003c": "<", "\\u003e": ">"}
_REPR = re.compile(r"\((\d{3}), b?(['\"])((?:\\.|(?!\2).)*)\2", re.DOTALL)  # (535, b'5.7.8 …') of smtplib


_BASE64 = re.compile(r"(?<=\b334[ -])eyJ[\w+/]{20,400}={0,2}")  # JSON: what is wrong with an access token


def _decoded(found: re.Match[str]) -> str:
    return base64.b64decode(found[0] + "==").decode("utf-8", "replace")


def plain(text: str) -> str:
    """Return the text without what carried it: colours, a page's marks, escapes of JSON and Python, percent signs."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    if re.search(r"(?i)[?&](?:error|error_description)=|%[0-9a-f]{2}.*%[0-9a-f]{2}", text):
        text = unquote_plus(text)
    if "&" in text and ";" in text:
        text = html.unescape(text)
    text = _BASE64.sub(_decoded, text)
    text = _REPR.sub(lambda found: f"\nreply: {found[1]} {found[3]}\n", text)
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return text.replace("\r\n", "\n")


# --- sign-in answers ----------------------------------------------------------------------------------------------

_WORDS = (
    "invalid_grant|invalid_client|unauthorized_client|redirect_uri_mismatch|admin_policy_enforced|org_internal"
    "|deleted_client|disabled_client|invalid_rapt|rapt_required|consent_required|interaction_required|invalid_scope"
    "|unsupported_grant_type|unsupported_response_type"
)
_NAMED = re.compile(
    rf"\b({_WORDS})\b|\b((?i:invalid grant))\b"
    r"|\berror(?:[\"']\s*:\s*|=)[\"']?([a-z]+(?:_[a-z]+)+)\b|4\d\d\s?[:：]\s?([a-z]+_[a-z_]+)"
)
_AGAIN = re.compile(
    r"(?is)((?:token|authori[sz]ation|grant|consent)\b[^\n]{0,40}\b(?:invalid|expired|revoked)\b"
    r".{0,60}\bre-?(?:auth|connect|consent)\w*)"
)
"""What programs say of a sign-in that has ended, without OAuth's own words."""
_OF_A_CODE = re.compile(r"(?i)auth(?:orization)?[ _]code|code was|redirect|code[ _.]verifier|[?&]code=")
"""The code of a sign-in page, which is changed for a grant once."""
_DESCRIBED = re.compile(r"(?:error_d|\bD)escription[\"']?\s*[:=]\s*(?:\"([^\"]*)|'([^']*)|([^\n&]*))")


def _sign_in(text: str) -> Iterator[FrankingError]:
    """Read the answer of a sign-in server: OAuth's error and its sentence, and the numbers that a provider has."""
    numbers: dict[str, list[int]] = {}
    begins = None
    for kind in providers():
        for name, pattern in kind.facts.numbers.items():
            found = list(re.finditer(pattern, text))
            if found:
                numbers[name] = list(dict.fromkeys(int(one[1]) for one in found))[:10]
                begins = found[0].start()
    named = _NAMED.search(text) or _AGAIN.search(text)
    if named is None and begins is None:
        return
    reason = None if named is None else next(filter(None, named.groups()))
    if named is not None and named.re is _AGAIN:
        reason = "no-grant"
    elif reason is not None:
        reason = reason.lower().replace(" ", "_") if " " in reason else reason
    described = _DESCRIBED.search(text)
    said = ""
    if begins is not None:
        said = text[begins:].partition("\n")[0]
    elif described is not None:
        said = next(filter(None, described.groups()), "")
    elif named is not None:
        said = text[named.end() :].partition("\n")[0].lstrip(" :,-'\"") or " ".join(text[: named.start()].split())
    details = {**numbers, "renewal": _OF_A_CODE.search(text) is None}  # which is what programs do all day
    yield LoginRequired("", evidence=Evidence("oauth", text=said[:500], reason=reason, details=details))


_PROOF = re.compile(r"\b334[ -](\{[^{}\n]{10,400}\})")


def _tokens(text: str) -> Iterator[FrankingError]:
    """Read why an access token was refused at a login."""
    for found in _PROOF.finditer(text):
        yield LoginError("", evidence=Evidence("sasl", code=535, text=found[1], details={"sasl": found[1]}))


# --- answers of an API --------------------------------------------------------------------------------------------

_OF_API = re.compile(
    r"HttpError \d|googleapis|(?:Gmail|Graph) (?:API|error)|Graph\.\w*Exception|[\"']Error[A-Z]\w{5}"
    r"|insufficient authentication scopes"
    r"|graph\.microsoft|[\"']error[\"']\s*:\s*\{"
)


@cache
def _bare_reasons() -> re.Pattern[str]:
    """Return the reasons that rules know, as a program prints them without the JSON around: ``TooManyRequests``."""
    known = {one for kind in providers() for rule in kind.rules if "http" in rule.kind for one in rule.reason}
    named = [one for one in known if re.fullmatch(r"(?:[A-Z][a-z]+){2}\w{4,}", one)]
    return re.compile(rf"\b({'|'.join(sorted(named))})\b")


_STATUS = re.compile(r"HttpError (\d{3})|HTTP/[\d.]+ (\d{3})|[\"']code[\"']\s*:\s*(\d{3})|status\W{1,4}(\d{3})\b")
_REASON = re.compile(
    r"\b(?:reason|[Cc]ode)[\"']?\s*[:=]\s*[\"']?([A-Za-z_]\w{4,80})"
    r"|[\"'](Error[A-Z]\w{5,60})[\"']"
)
_MESSAGE = re.compile(
    r"[\"']message[\"']\s*:\s*\"([^\"]+)|[\"']message[\"']\s*:\s*'([^']+)|returned \"([^\"]+)"
    r"|(Request had [^\n]+|Delegation denied [^\n]+)"
    r"|(Gmail API has not been used[^\n]+|Mail service not enabled)|\bMessage: ([^\n]+)"
)


def answers(text: str) -> Iterator[FrankingError]:
    """Read an error of Gmail's API or of Graph, as JSON or as a library prints it."""
    bare = _bare_reasons().findall(text)
    if not (bare or _OF_API.search(text)):
        return
    status = _STATUS.search(text)
    code = None if status is None else int(next(filter(None, status.groups())))
    message = _MESSAGE.search(text)
    said = "" if message is None else next(filter(None, message.groups()))[:500]
    named = list(filter(None, chain(*_REASON.findall(text))))
    for reason in (
        *reversed(dict.fromkeys([*(one for one in bare if one not in named), *named])),
        None,
    ):  # the innermost says most
        evidence = Evidence("http", code=code, text=said, reason=reason)
        if code == 401:
            yield LoginError("", evidence=evidence)
        else:
            yield Refused("", step="message", temporary=code in (429, 503), evidence=evidence)


# --- replies of a mail server -------------------------------------------------------------------------------------

_MOST = 50
"""Replies of a text that are looked at, the last ones."""
_ENHANCED = r"#?([245]\.\d{1,3}\.\d{1,3})(?![\d.])"
_REPLY = re.compile(rf"(?<![\w.:/#-])([45]\d\d)(?:[ -]|\)?[:.] )\s?(?:{_ENHANCED}[ :;]*)?([^\n]*)")
_UNCODED = re.compile(rf"(?<![\d.\w/=-]){_ENHANCED}[ :;]+([A-Za-z<][^\n]*)")
_SENDMAIL = re.compile(rf"dsn={_ENHANCED}, stat=([^\n]*)")
_DETAIL = re.compile(
    rf"Detail: (.{{0,2000}}?)\s*SMTP code: ([45]\d\d)(?:\s*Additional SMTP info: {_ENHANCED})?", re.DOTALL
)  # PHPMailer
_BEFORE = re.compile(
    r"(?i)(?:said|says|data|respon[sd]\w*|replied|reply|returned|server message|message|msg|code|error|busy"
    r"|failed|failure|login|smtp|exception|detail|recipient|refused|denied|me|>)[^\w\n]{0,4}$"
)
_NO_REPLY = re.compile(r"(?i)(?:HTTP/[\d.]+|status(?: code)?:?|line|pid|port|\d:?) ?$")
_LOGGED = re.compile(
    r"code\"\s*:\s*\"?([45]\d\d)\b[^{}\n]{0,80}?\"(?:smtp_msg|message|msg|response)\"\s*:\s*\"([^\"]+)",
    re.IGNORECASE,
)
_PHPMAILER = re.compile(r"following (?:recipients|From address) failed: [^\s:]+@[^\s:]+: (?![45]\d\d)([^\n]+)")
_NAMED_STATUS = re.compile(
    rf"([^.\n:]{{3,120}})\. The server response was:\s{{0,9}}(?:{_ENHANCED}[ ;:]*)?(?![45]\d\d)([^\n]*)"
)
_STATUS_NAMES = {  # as .NET writes a reply's code
    "mailbox unavailable": 550,
    "transaction failed": 554,
    "exceeded storage allocation": 552,
    "mailbox name not allowed": 553,
    "user not local": 551,
    "insufficient system storage": 452,
    "error in processing": 451,
    "syntax error in parameters": 501,
    "command unrecognized": 500,
    "bad sequence of commands": 503,
    "command not implemented": 502,
    "service not available": 421,
    "client was not authenticated": 530,
    "secure connection": 530,
}
_COMMON = re.compile(r"4(?:2[12]|3[12]|4[124679]|5\d|71)|5(?:0[0-4]|1[0-5]|2[135]|3[013458]|4[016]|5\d|71)")
"""Codes that are taken for a mail server's where nothing beside them says so."""
_BEHIND = re.compile(
    r"\s{0,9}(?:\(in reply to [^)]*\)+|['\"]?,? (?:errormsg=|response code|exitcode=).*|['\")}\]]+;?\s{0,9}"
    r"|: retry timeout exceeded.*| Error, SMTP server .*|',? (?:Port|Subject|Account|Server): .*"
    r"|\. (?:Please (?:check the message|verify that)|Bitte [uü]ber).*)$",
    re.IGNORECASE,
)
"""What programs write behind a reply."""


def _clear_replies(text: str) -> Iterator[FrankingError]:
    return replies(text, trusted=2)


def replies(text: str, trusted: int = 1) -> Iterator[FrankingError]:
    """Read the replies that a text quotes; those first of which it is clearest that they are some."""
    found: list[tuple[int, int, FrankingError]] = []
    if detail := _DETAIL.search(text):
        found.append((4, detail.start(), _refusal(text, detail.start(), int(detail[2]), detail[3], detail[1])))
    end = 0
    for reply in deque(_REPLY.finditer(text), maxlen=_MOST):
        trust = _trust(text, reply)
        if trust >= trusted and reply.start() >= end:
            words, end = _whole(text, reply)
            found.append((trust, reply.start(), _refusal(text, reply.start(), int(reply[1]), reply[2], words)))
    for logged in _LOGGED.finditer(text):
        found.append((2, logged.start(), _refusal(text, logged.start(), int(logged[1]), None, logged[2])))
    for named in _PHPMAILER.finditer(text):
        found.append((2, named.start(), _refusal(text, named.start(), 550, None, named[1])))
    for told in _NAMED_STATUS.finditer(text):
        code = next((code for words, code in _STATUS_NAMES.items() if words in told[1].lower()), None)
        if code is not None and told.end() > end:
            found.append((3, told.start(2 if told[2] else 3), _refusal(text, told.start(3), code, told[2], told[3])))
            end = told.end()
    for bare in (*deque(_UNCODED.finditer(text), maxlen=_MOST), *_SENDMAIL.finditer(text)):
        if bare.start() >= end and (bare[0][0] == "d" or _announced(text, bare.start()) >= trusted):
            found.append((1, bare.start(), _refusal(text, bare.start(), None, bare[1], bare[2])))
    for _, _, error in sorted(found, key=lambda one: one[:2], reverse=True):
        yield error
        yield from _supposed(error)


def _trust(text: str, reply: re.Match[str]) -> int:
    """Return how surely three digits are a reply code: by the code behind them, else by the words before them."""
    if reply[2] is not None and reply[2][0] == reply[1][0]:
        return 3
    if not _COMMON.fullmatch(reply[1]) or not re.search(r"[^\W\d_]{2}", reply[3]):
        return 0
    return _announced(text, reply.start())


def _announced(text: str, at: int) -> int:
    """Return how surely a reply begins there: it was announced, a line or a phrase begins, or it is a mere number."""
    before = text[max(0, at - 40) : at].rpartition("\n")[2]
    if not before.strip() or _BEFORE.search(before) or re.search(r"\[[\d.a-f:]+\](?::\d+)?:? ?$", before):
        return 2
    return int(before.rstrip()[-1] in ":;'\"([{>|=" and not _NO_REPLY.search(before))


_LINE = re.compile(r"\n([^\n]+)")


def _whole(text: str, reply: re.Match[str]) -> tuple[str, int]:
    """Return the words of a reply with its further lines, and where they end."""
    if (quote := text[reply.start() - 1 : reply.start()]) in ("'", '"'):
        closing = re.compile(rf"{quote}(?=[,;)}}\]\s]|$)").search(text, reply.start(3), reply.start(3) + 1000)
        if closing is not None:
            return text[reply.start(3) : closing.start()], closing.end()
    lines, end = [reply[3]], reply.end()
    follows = text[reply.start(1) + 3] == "-"
    codes = rf"(?:[^\n]{{0,40}}?(?<!\d){reply[1]}[ -](?:{_ENHANCED}[ :;]*)?|{re.escape(reply[2] or '-')} +)"
    further = re.compile(rf"\n{codes}([^\n]*)")
    folded = re.compile(r"\n[ \t]+(?!at |nested exception)([^\s{}][^\n]*)")  # as logs fold them
    while len(lines) < 20 and (
        more := further.match(text, end) or folded.match(text, end) or (follows and _LINE.match(text, end))
    ):
        lines.append(more[more.lastindex or 0])
        follows = follows and f"{reply[1]} " not in more[0]
        end = more.end()
    words = "\n".join(lines)[:2000]
    while shorter := _BEHIND.search(words):
        words = words[: shorter.start()]
    return words, end


def _refusal(text: str, at: int, code: int | None, enhanced: str | None, words: str) -> FrankingError:
    step, what = _place(text, at, code, words)
    code = code or _MEANS.get(enhanced or "")
    evidence = Evidence("smtp", code=code, enhanced=enhanced, text=words, details={"what": what} if what else {})
    later = (str(code) if code else enhanced or "5")[0] == "4"
    if step == "login":
        return LoginError("", temporary=later, evidence=evidence)
    if step in ("greet", "tls"):
        return ConnectError("", step=step, temporary=later, evidence=evidence)
    if code is not None and throttled(Reply(code, tuple(line.encode() for line in words.split("\n")))):
        return Throttled("", step=step, evidence=evidence)
    return Refused("", step=step, temporary=later, evidence=evidence)


def _supposed(error: FrankingError) -> Iterator[FrankingError]:
    """Where nothing told what a reply is about, suppose what its own words speak of, if that is one thing."""
    seen = error.evidence
    if seen is None or error.step != "message" or seen.details:
        return
    about = [what for what, pattern in _ABOUT if re.search(pattern, seen.text, re.IGNORECASE)]
    if len(about) == 1:
        evidence = seen._replace(details={"what": about[0]})
        step = "accepted" if about == ["message"] else "message"
        yield Refused("", step=step, temporary=error.temporary, evidence=evidence)


_PLACES: tuple[tuple[str, str | None, str], ...] = (
    (
        "accepted",
        "message",
        r"in reply to end of DATA|after (?:pipelined )?(?:end of data|DATA)|DATA END|data not accepted",
    ),
    ("accepted", "message", r"SMTPDataError|command: '?DATA|while sending end of data|MessageNotAccepted|DATA command"),
    ("message", "sender", r"in reply to MAIL FROM|after (?:pipelined )?MAIL FROM|SMTPSenderRefused|SenderNotAccepted"),
    ("message", "sender", r"command: '?MAIL|MAIL(?: \w+)? command failed|From address failed|SMTPSenderFailed"),
    ("message", "sender", r"sender's e-?mail address|envelope from address|does not like sender|MAIL failed"),
    ("message", "sender", r"verify that your e-?mail address is correct"),
    (
        "message",
        "recipient",
        r"in reply to RCPT TO|after (?:pipelined )?RCPT TO|SMTPRecipientsRefused|SMTPAddressFailed",
    ),
    ("message", "recipient", r"command: '?RCPT|RCPT(?: \w+)? command failed|recipients? failed|RecipientNotAccepted"),
    ("message", "recipient", r"SmtpFailedRecipient|recipients was rejected|does not like recipient|RCPT failed"),
    (
        "message",
        "recipient",
        r"check the message recipient|E-Mail-Adresse des Empf.ngers|recipient address \S+ not accepted",
    ),
    ("accepted", "message", r"after I sent the message|the server did not accept the mail"),
    ("message", None, r"SMTPSendFailed"),
    ("greet", None, r"501 5\.5\.4 Invalid domain name"),  # Exchange, to the name in EHLO
    ("login", None, r"SMTPAuthenticationError|AuthenticationFailed|authentication (?:failed|failure)|SASL|EAUTH"),
    ("login", None, r"(?:could not|failed to) authenticate|invalid login|(?:AUTH|Password|Username) command failed"),
    ("login", None, r"command: '?AUTH|AuthenticationE"),
    ("greet", None, r"refused to talk to me|SMTPConnectError|SMTPHeloError|in reply to (?:EHLO|HELO)|Invalid greeting"),
    ("greet", None, r"(?:EHLO|HELO) command failed|command: '?(?:CONN|EHLO)|but greeting failed"),
)
"""What programs write around a reply, at which step that is, and what the reply is about then."""

_ABOUT = (
    (
        "sender",
        r"\bsenders?\b|\bfrom\b|\benvelope|return.path|absender|odes[ií]latel|exp[ée]diteur|nadawc|remitente|mittente",
    ),
    (
        "recipient",
        r"\brecipients?\b|\brcpts?\b|addressee|\bmailbox\b|destinat|empf[äa]nger|p[řr][íi]jemc|odbiorc|adresat",
    ),
    ("message", r"\bmessage\b|\bcontents?\b|attachment|\bspam|\bvirus|\bheaders?\b|\bsubject\b"),
)
_MEANS = {"5.7.8": 535, "5.7.9": 534, "5.7.139": 535}
_AT_LOGIN = (432, 454, 504, 534, 535, 538)


def _place(text: str, at: int, code: int | None, words: str) -> tuple[str, str | None]:
    """Guess at which step a reply came, and what it is about: by what the program says around it, else by its code."""
    begins = text.rfind("\n", 0, at) + 1
    own = text[max(begins, at - 600) : at + len(words) + 20]
    around = text[max(0, at - 600) : at + len(words) + 300]
    let_in = re.search(r"\b235[ -]", text[:at]) is not None  # a login that succeeded is not what failed
    for part in (own, around):  # what stands on the reply's own line says more than what stands before it
        for step, what, pattern in _PLACES:
            if not (let_in and step == "login") and re.search(pattern, part, re.IGNORECASE):
                return step, what
    at_login = (code in _AT_LOGIN or re.match(r"\W?5\.7\.(?:8|9|139)\b", text[at : at + 12])) and not re.search(
        "(?i)sender|recipient|relay", words
    )
    return ("login" if at_login else "message"), None


def _words(text: str) -> Iterator[FrankingError]:
    """Read lines without any code as a server's words, the last one first: a rule may know them."""
    for line in [line.strip() for line in text.splitlines() if line.strip()][:-21:-1]:
        if re.search(r"\b2[25]0[ -]", line):
            continue  # of a welcome
        yield _refusal(line, 0, None, None, line[:500])
        yield Refused("", step="message", evidence=Evidence("http", text=line[:500]))
        yield LoginRequired("", evidence=Evidence("oauth", text=line[:500]))


SAID = (_sign_in, _tokens, answers, _clear_replies, replies)
"""The readings that quote somebody: worth showing where no rule knows the words."""
READINGS = (_sign_in, _tokens, answers, _clear_replies, written_by_programs, replies, _words)
