"""What may have been seen where an error text of another program comes from: one reading for each way in which they are
written, the surest first, each an error with evidence. The step is a guess. What it means, rules decide.
"""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Iterator
from urllib.parse import unquote_plus

from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    Refused,
    Throttled,
    TLSError,
)
from franking.registry import providers
from franking.smtp.protocol import Reply
from franking.smtp.replies import throttled

__all__ = ["READINGS", "SAID", "plain", "replies"]

# --- the text -----------------------------------------------------------------------------------------------------

_ESCAPES = {"\\r\\n": "\n", "\\n": "\n", '\\"': '"', "\\'": "'", "\\/": "/", "\\u003c": "<", "\\u003e": ">"}
_REPR = re.compile(r"\((\d{3}), b?(['\"])((?:\\.|(?!\2).)*)\2")  # (535, b'5.7.8 …') of smtplib


def plain(text: str) -> str:
    """Return the text without what carried it: colours, a page's marks, escapes of JSON and Python, percent signs."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    if re.search(r"(?i)[?&](?:error|error_description)=|%[0-9a-f]{2}.*%[0-9a-f]{2}", text):
        text = unquote_plus(text)
    if "&" in text and ";" in text:
        text = html.unescape(text)
    text = _REPR.sub(lambda found: f"\nreply: {found[1]} {found[3]}\n", text)
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return text.replace("\r\n", "\n")


# --- sign-in answers ----------------------------------------------------------------------------------------------

_WORDS = (
    "invalid_grant|invalid_client|unauthorized_client|redirect_uri_mismatch|admin_policy_enforced|org_internal"
    "|deleted_client|disabled_client|invalid_rapt|rapt_required|consent_required|interaction_required"
)
_NAMED = re.compile(rf"\b({_WORDS})\b|\berror[\"']?\s*[:=]\s*[\"']?([a-z]+(?:_[a-z]+)+)\b|\bError 4\d\d: (\w+)")
_DESCRIBED = re.compile(r"error_description[\"']?\s*[:=]\s*(?:\"([^\"]*)|'([^']*)|([^\n&]*))")


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
    named = _NAMED.search(text)
    if named is None and begins is None:
        return
    reason = None if named is None else next(filter(None, named.groups()))
    described = _DESCRIBED.search(text)
    said = ""
    if begins is not None:
        said = text[begins:].partition("\n")[0]
    elif described is not None:
        said = next(filter(None, described.groups()), "")
    elif named is not None:
        said = text[named.end() :].partition("\n")[0].lstrip(" :,-'\"")
    yield LoginRequired("", evidence=Evidence("oauth", text=said[:500], reason=reason, details=numbers))


# --- answers of an API --------------------------------------------------------------------------------------------

_OF_API = re.compile(r"HttpError \d|googleapis\.com|graph\.microsoft|[\"']error[\"']\s*:\s*\{")
_STATUS = re.compile(r"HttpError (\d{3})|HTTP/[\d.]+ (\d{3})|[\"']code[\"']\s*:\s*(\d{3})|status\W{1,4}(\d{3})\b")
_REASON = re.compile(r"[\"'](?:reason|code)[\"']\s*:\s*[\"'](\w{5,80})")
_MESSAGE = re.compile(r"[\"']message[\"']\s*:\s*\"([^\"]+)|[\"']message[\"']\s*:\s*'([^']+)|returned \"([^\"]+)")


def _answers(text: str) -> Iterator[FrankingError]:
    """Read an error of Gmail's API or of Graph, as JSON or as a library prints it."""
    if not _OF_API.search(text):
        return
    status = _STATUS.search(text)
    code = None if status is None else int(next(filter(None, status.groups())))
    message = _MESSAGE.search(text)
    said = "" if message is None else next(filter(None, message.groups()))[:500]
    for reason in (*reversed(dict.fromkeys(_REASON.findall(text))), None):  # the innermost says most
        evidence = Evidence("http", code=code, text=said, reason=reason)
        if code == 401:
            yield LoginError("", evidence=evidence)
        else:
            yield Refused("", step="message", temporary=code in (429, 503), evidence=evidence)


# --- replies of a mail server -------------------------------------------------------------------------------------

_MOST = 50
"""Replies of a text that are looked at, the last ones."""
_ENHANCED = r"#?([245]\.\d{1,3}\.\d{1,3})(?![\d.])"
_REPLY = re.compile(rf"(?<![\w.:/#-])([45]\d\d)(?:[ -]|: )\s?(?:{_ENHANCED}[ :;]*)?([^\n]*)")
_UNCODED = re.compile(rf"(?<![\d.\w/=-]){_ENHANCED}[ :;]+([A-Za-z<][^\n]*)")
_DETAIL = re.compile(
    rf"Detail: (.{{0,2000}}?)\s?SMTP code: ([45]\d\d)(?:\s?Additional SMTP info: {_ENHANCED})?"
)  # PHPMailer
_BEFORE = re.compile(
    r"(?i)(?:said|says|respon[sd]\w*|replied|reply|returned|server message|message|msg|code|error|failed|failure|login"
    r"|smtp|exception|detail|recipient|refused|denied|me|>)[^\w\n]{0,4}$"
)
_NO_REPLY = re.compile(r"(?i)(?:HTTP/[\d.]+|status(?: code)?:?|line|pid|port|\d:?) ?$")
_COMMON = re.compile(r"4(?:2[12]|3[12]|4[124679]|5\d|71)|5(?:0[0-4]|1[0-5]|2[13]|3[013458]|4[016]|5\d|71)")
"""Codes that are taken for a mail server's where nothing beside them says so."""
_BEHIND = re.compile(
    r"\s{0,9}(?:\(in reply to [^)]*\)+|['\"]?,? (?:errormsg=|response code|exitcode=).*|['\")}\]]+;?\s{0,9})$"
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
    for bare in deque(_UNCODED.finditer(text), maxlen=_MOST):
        if trusted == 1 and bare.start() >= end and _announced(text, bare.start()):
            found.append((1, bare.start(), _refusal(text, bare.start(), None, bare[1], bare[2])))
    yield from (error for _, _, error in sorted(found, key=lambda one: one[:2], reverse=True))


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
    if not before.strip() or _BEFORE.search(before):
        return 2
    return int(before.rstrip()[-1] in ":;'\"([{>|=" and not _NO_REPLY.search(before))


def _whole(text: str, reply: re.Match[str]) -> tuple[str, int]:
    """Return the words of a reply with its further lines, and where they end."""
    lines, end = [reply[3]], reply.end()
    codes = rf"(?:[^\n]{{0,40}}?(?<!\d){reply[1]}[ -](?:{_ENHANCED}[ :;]*)?|{re.escape(reply[2] or '-')} +)"
    further = re.compile(rf"\n{codes}([^\n]*)")
    while len(lines) < 20 and (more := further.match(text, end)):
        lines.append(more[2])
        end = more.end()
    words = "\n".join(lines)[:2000]
    while shorter := _BEHIND.search(words):
        words = words[: shorter.start()]
    return words, end


def _refusal(text: str, at: int, code: int | None, enhanced: str | None, words: str) -> FrankingError:
    step = _step(text, at, code, words)
    evidence = Evidence("smtp", code=code, enhanced=enhanced, text=words)
    later = (str(code) if code else enhanced or "5")[0] == "4"
    if step == "login":
        return LoginError("", temporary=later, evidence=evidence)
    if step in ("greet", "tls"):
        return ConnectError("", step=step, temporary=later, evidence=evidence)
    if code is not None and throttled(Reply(code, tuple(line.encode() for line in words.split("\n")))):
        return Throttled("", step=step, evidence=evidence)
    return Refused("", step=step, temporary=later, evidence=evidence)


_STEPS: tuple[tuple[str, str], ...] = (
    ("accepted", r"in reply to end of DATA|after (?:pipelined )?(?:end of data|DATA)|DATA END|data not accepted"),
    ("accepted", r"SMTPDataError|command: '?DATA|while sending end of data"),
    ("message", r"in reply to (?:MAIL FROM|RCPT TO)|after (?:pipelined )?(?:MAIL FROM|RCPT TO)|SMTPSenderRefused"),
    ("message", r"SMTPRecipientsRefused|command: '?(?:MAIL|RCPT)|(?:MAIL|RCPT)(?: \w+)? command failed"),
    ("message", r"recipients? failed|SMTPAddressFailed"),
    ("login", r"SMTPAuthenticationError|AuthenticationFailed|authentication (?:failed|failure)|SASL|EAUTH"),
    ("login", r"(?:could not|failed to) authenticate|invalid login|(?:AUTH|Password|Username) command failed"),
    ("login", r"command: '?AUTH|AuthenticationError"),
    ("greet", r"refused to talk to me|SMTPConnectError|SMTPHeloError|in reply to (?:EHLO|HELO)|Invalid greeting"),
    ("greet", r"(?:EHLO|HELO) command failed|command: '?(?:CONN|EHLO)"),
)
"""What programs write around a reply, and at which step that is."""

_AT_LOGIN = (432, 454, 504, 530, 534, 535, 538)


def _step(text: str, at: int, code: int | None, words: str) -> str:
    """Guess at which step a reply came: by what the program says around it, else by its code."""
    around = text[max(0, at - 600) : at] + text[at : at + len(words) + 300]
    for step, pattern in _STEPS:
        if re.search(pattern, around, re.IGNORECASE):
            return step
    return "login" if code in _AT_LOGIN and not re.search("(?i)sender|recipient|relay", words) else "message"


# --- words of the network, of TLS, of programs --------------------------------------------------------------------


_PHRASES: tuple[tuple[str, str, str, str], ...] = (
    # what was met, as evidence says it; the step; what programs, libraries and systems write
    ("dns", "no-dns", "resolve", r"Temporary failure in name resolution|EAI_AGAIN|name service.{0,80}try again"),
    ("dns", "not-found", "resolve", r"getaddrinfo failed|ENOTFOUND|Name or service not known|nodename nor servname"),
    ("dns", "not-found", "resolve", r"no such host|UnknownHost|host (?:or domain name )?not found|\b11001\b"),
    ("dns", "not-found", "resolve", r"could ?n[o']t resolve host|unknown host"),
    ("tls", "19", "tls", r"self[- ]?signed certificate in (?:the )?certificate chain|SELF_SIGNED_CERT_IN_CHAIN"),
    ("tls", "18", "tls", r"self[- ]?signed certificate|DEPTH_ZERO_SELF_SIGNED_CERT"),
    ("tls", "10", "tls", r"certificate (?:has |is )?expired|CERT_HAS_EXPIRED"),
    ("tls", "9", "tls", r"certificate is not yet valid|CERT_NOT_YET_VALID"),
    ("tls", "64", "tls", r"IP address mismatch"),
    ("tls", "62", "tls", r"hostname mismatch|ALTNAME_INVALID|NameMismatch|no alternative certificate subject name"),
    ("tls", "62", "tls", r"certificate.{0,80}(?:does ?n[o']t match|not valid for|did not match)"),
    ("tls", "62", "tls", r"(?:hostname|domain).{0,60}does ?n[o']t match"),
    ("tls", "20", "tls", r"unable to get (?:local )?issuer|unable to verify the first certificate|unknown ca\b"),
    ("tls", "20", "tls", r"UNABLE_TO_(?:GET|VERIFY)|PKIX path building failed|signed by unknown authority"),
    ("tls", "20", "tls", r"CERTIFICATE_VERIFY_FAILED|certificate verif\w+ failed"),
    ("tls", "WRONG_VERSION_NUMBER", "tls", r"wrong[ _]version[ _]number|unknown protocol|record[ _]layer[ _]failure"),
    ("tls", "WRONG_VERSION_NUMBER", "tls", r"packet[ _]length[ _]too[ _]long|does not look like a TLS handshake"),
    ("tls", "WRONG_VERSION_NUMBER", "tls", r"Unrecognized SSL message|plaintext connection\?"),
    (
        "tls",
        "UNSUPPORTED_PROTOCOL",
        "tls",
        r"unsupported[ _]protocol|alert[ _]protocol[ _]version|handshake[ _]failure",
    ),
    (
        "tls",
        "UNSUPPORTED_PROTOCOL",
        "tls",
        r"dh[ _]key[ _]too[ _]small|no (?:protocols available|appropriate protocol)",
    ),
    ("tls", "starttls-not-offered", "tls", r"STARTTLS (?:extension |command )?(?:is )?not (?:supported|available)"),
    ("tls", "starttls-not-offered", "tls", r"does not (?:support|offer) (?:STARTTLS|secure connections)"),
    ("tls", "starttls-not-offered", "tls", r"STARTTLS (?:is|was) required but"),
    ("sasl", "auth-not-offered", "login", r"AUTH extension not supported|AUTH not (?:supported|advertised)"),
    ("sasl", "auth-not-offered", "login", r"does(?: not|n't) (?:support|offer) (?:SMTP )?auth"),
    ("connect", "refused", "connect", r"ECONNREFUSED|connection refused|actively refused|\b10061\b"),
    ("connect", "unreachable", "connect", r"EHOSTUNREACH|ENETUNREACH|no route to host|network is unreachable"),
    ("connect", "unreachable", "connect", r"unreachable (?:host|network)|\b100(?:51|65)\b"),
    ("connect", "timeout", "connect", r"ETIMEDOUT|ESOCKETTIMEDOUT|timed out|TimeoutError|did not properly respond"),
    ("connect", "timeout", "connect", r"connect\w* time-?out|time-?out (?:when|while) (?:connect|wait)\w*|\b10060\b"),
    ("connect", "reset", "message", r"ECONNRESET|connection reset|forcibly closed|broken pipe|EPIPE|\b10054\b"),
    ("connect", "closed", "message", r"connection (?:was )?(?:unexpectedly )?(?:closed|lost|dropped)|lost connection"),
    ("connect", "closed", "message", r"socket hang ?up|SMTPServerDisconnected|closed the connection"),
)
_CLASSES = {"dns": ConnectError, "connect": ConnectError, "tls": TLSError, "sasl": LoginError}


def _phrases(text: str) -> Iterator[FrankingError]:
    """Read the words of the network, of TLS and of programs."""
    for kind, reason, step, pattern in _PHRASES:
        if re.search(pattern, text, re.IGNORECASE):
            evidence = Evidence(kind, reason=reason)
            if reason.isdigit():
                evidence = Evidence(kind, reason="certificate", details={"verify_code": int(reason)})
            yield {"timeout": ConnectTimeout}.get(reason, _CLASSES[kind])("", step=step, evidence=evidence)


def _words(text: str) -> Iterator[FrankingError]:
    """Read lines without any code as a server's words, the last one first: a rule may know them."""
    for line in [line.strip() for line in text.splitlines() if line.strip()][:-21:-1]:
        yield _refusal(line, 0, None, None, line[:500])
        yield Refused("", step="message", evidence=Evidence("http", text=line[:500]))
        yield LoginRequired("", evidence=Evidence("oauth", text=line[:500]))


SAID = (_sign_in, _answers, _clear_replies, replies)
"""The readings that quote somebody: worth showing where no rule knows the words."""
READINGS = (_sign_in, _answers, _clear_replies, _phrases, replies, _words)
