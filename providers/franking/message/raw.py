"""Messages that somebody else composed, ``EmailMessage`` or ready octets, as content: sent as they are, but for a few
things.

Line ends become CRLF; a missing From, Date or Message-ID is added behind the other header fields; Bcc and Resent-Bcc
can be left out; an mbox line ("From jan …") in front goes. Only the header is looked at: a body of any size is neither
parsed nor copied as a whole. Lines longer than RFC 5322 allows, and whatever else is odd, stay as they are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any

from franking.errors import MessageError
from franking.message.address import Address, is_plain, without_refused
from franking.message.content import crlf, gathered
from franking.message.headers import ADDRESSED, Added, address_field, date_now, groups_field, new_id, read_addresses

if TYPE_CHECKING:
    import email.message

    from franking.message.parser import Parts

__all__ = ["Fields", "Raw", "from_bytes", "from_email", "from_fields", "read_header"]

_STEP = 1 << 16  # octets of a body that are looked at, or passed on, at once
_BLANK_LINE = re.compile(rb"(?:\A|\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
# the beginning of a line anchors it: tried at every character, a long line without a colon took minutes
_FIELDS = re.compile(rb"^(([!-9;-~]+)[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n", re.MULTILINE)
_HIDDEN = (b"bcc", b"resent-bcc")
# A header in which nothing is odd, where every line is known to end with CRLF; its blank line included. One match and a
# few searches read it in 3 µs, where taking all its fields apart and joining them again takes 10.
_REGULAR = re.compile(rb"(?:[!-9;-~]++:.*+\n(?:[ \t].*+\n)*+)++\r\n")
_NAMING = re.compile(rb"\n(to:|cc:|bcc:|resent-)")  # fields that name recipients, or may
_TO = (b"to", b"cc", b"bcc")
_RESENT_TO = (b"resent-to", b"resent-cc", b"resent-bcc")
_LF = 10
_BLANK = (32, 9)
_WHOLE_LINES = (None, "\r\n")  # the line ends seen: none, or this one only
_RESENT = frozenset((b"resent-date", *_RESENT_TO))
_LINE_BREAK = re.compile(r"\r(?!\n)|\n(?![ \t])|\0")

Fields = list[tuple[bytes, bytes]]  # lower-case name, the whole field without its last CRLF


class Raw:
    """The content of a message that was composed elsewhere."""

    __slots__ = (
        "_body",
        "_clean",
        "_end",
        "_fields",
        "_head",
        "_head_with_bcc",
        "_recipients",
        "eight_bit",
        "message_id",
        "size",
        "smtputf8",
    )

    def __init__(
        self,
        fields: Fields,
        head: bytes,
        head_with_bcc: bytes,
        body: memoryview,
        message_id: str,
        *,
        clean: bool,
        seven_bit: bool,
    ) -> None:
        """``clean``: every line ends with CRLF already."""
        self._fields, self._body, self._clean, self.message_id = fields, body, clean, message_id
        self._head, self._head_with_bcc = head, head_with_bcc
        self._end = b"" if not body or body[-1] in b"\r\n" else b"\r\n"  # SMTP ends a message with a whole line
        self.size, self.eight_bit, self.smtputf8 = len(head) + len(body) + len(self._end), False, False
        if not seven_bit:
            self.smtputf8 = not head.isascii()
            self.eight_bit = not all(map(bytes.isascii, _pieces(body)))
        if not clean:
            self.size = len(head) + sum(map(len, self._flow()))
        self._recipients: tuple[str, ...] | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        if self._recipients is None:
            self._recipients = _recipients(self._fields)
        return self._recipients

    def size_with_bcc(self) -> int:
        return self.size - len(self._head) + len(self._head_with_bcc)

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        head = self._head_with_bcc if bcc else self._head
        if self._clean and len(self._body) < _STEP:
            yield b"".join((head, self._body, self._end))
        else:
            yield from gathered(chain((head,), self._flow()))

    def _flow(self) -> Iterator[bytes]:
        pieces = _pieces(self._body)
        return chain(pieces if self._clean else crlf(pieces), filter(None, (self._end,)))

    def parts(self) -> Parts:
        from franking.message.parser import parse_parts  # only Graph's JSON needs it: it parses the whole message

        return parse_parts(b"".join(self.chunks(bcc=True)))


class AsItIs:
    """The content of a message that leaves octet by octet as it is: it lacks nothing, and hides no recipient."""

    __slots__ = ("_data", "_head", "_to", "eight_bit", "message_id", "size", "smtputf8")

    def __init__(self, data: bytes, head: bytes, message_id: str, *, to: str, seven_bit: bool) -> None:
        """``to``: the value of the one field that names recipients, where it is one To."""
        self._data, self._head, self._to, self.message_id = data, head, to, message_id
        self.size, self.eight_bit, self.smtputf8 = len(data), False, False
        if not seven_bit:
            self.smtputf8 = not head.isascii()
            self.eight_bit = not all(map(bytes.isascii, _pieces(memoryview(data)[len(head) :])))

    @property
    def recipients(self) -> tuple[str, ...]:
        if is_plain(self._to):
            return (self._to,)  # nearly every one
        return _recipients(_split(self._head, clean=True)[0])

    def size_with_bcc(self) -> int:
        return self.size

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        if bcc and self.size > _STEP:  # an API's encoder makes another of each piece
            return _pieces(memoryview(self._data))
        return iter((self._data,))  # no copy, and nothing to close

    def parts(self) -> Parts:
        from franking.message.parser import parse_parts

        return parse_parts(self._data)


def from_bytes(
    message: bytes | bytearray | memoryview,
    *,
    sender: Address,
    rewrite_from: bool,
    added: Added | None = None,
) -> Raw | AsItIs:
    """Make content of ready octets. What is missing is added. Raises ``MessageError``."""
    data = bytes(message)
    clean, seven_bit = _looked_over(data)
    if clean and not rewrite_from and (usual := _usual(data, seven_bit=seven_bit)) is not None:
        return usual
    fields, body = _split(data, clean=clean)
    names = {name for name, _ in fields}
    if b"from" not in names:
        fields.append((b"from", _line(address_field("From", (sender,)))))
    elif rewrite_from:
        fields = _rewritten(fields, sender)
    if b"date" not in names:
        fields.append((b"date", b"Date: " + (added.date if added else date_now()).encode()))
    message_id = _value(fields, b"message-id")
    if not message_id:
        message_id = added.message_id if added else new_id(sender)
        fields = [field for field in fields if field[0] != b"message-id"]
        fields.append((b"message-id", b"Message-ID: " + message_id.encode()))
    return from_fields(fields, body, message_id, clean=clean, seven_bit=seven_bit)


def from_fields(fields: Fields, body: memoryview, message_id: str, *, clean: bool, seven_bit: bool) -> Raw:
    """Make content of a header that lacks nothing and of a body; ``clean``: every line of it ends with CRLF already."""
    whole = b"".join([line + b"\r\n" for _, line in fields]) + b"\r\n"
    head = b"".join([line + b"\r\n" for name, line in fields if name not in _HIDDEN]) + b"\r\n"
    return Raw(fields, head, whole, body, message_id, clean=clean, seven_bit=seven_bit and whole.isascii())


def read_header(data: bytes, *, clean: bool = False) -> tuple[Fields, memoryview]:
    """Return the header fields of a message, folded as they are but with CRLF, and its body as it is; ``clean``: every
    line end is known to be CRLF.
    """
    return _split(data, clean=clean or _looked_over(data)[0])


def _looked_over(data: bytes) -> tuple[bool, bool]:
    """Return whether every CR and every LF stands in a CRLF, and whether all octets are ASCII.

    The bookkeeping of text files tells both in one pass; counting line ends takes four times as long.
    """
    ends = io.IncrementalNewlineDecoder(None, False)
    if len(data) <= _STEP:
        seven_bit = data.isascii()
        ends.decode(data.decode("latin-1"), True)
    else:
        seven_bit, view = True, memoryview(data)
        for start in range(0, len(data), _STEP):
            text, plain = _text(view[start : start + _STEP])
            seven_bit = seven_bit and plain
            ends.decode(text)  # a CR at the end waits for what follows
        ends.decode("", final=True)
    return ends.newlines in _WHOLE_LINES, seven_bit


def _text(octets: bytes | memoryview) -> tuple[str, bool]:
    """Return a character for each octet, and whether all are ASCII."""
    try:
        return str(octets, "ascii"), True
    except UnicodeDecodeError:
        return str(octets, "latin-1"), False


def _pieces(octets: memoryview) -> Iterator[bytes]:
    return (bytes(octets[start : start + _STEP]) for start in range(0, len(octets), _STEP))


def _usual(data: bytes, *, seven_bit: bool) -> AsItIs | None:
    """Return the content of a message that lacks nothing, hides nothing and was resent by nobody; None for any other.
    Every line is known to end with CRLF.
    """
    header = _REGULAR.match(data)
    if header is None or data[-1] != _LF:
        return None
    head = header[0]
    lower = b"\n" + head.lower()  # a place in it is behind the same line end in both
    naming = _NAMING.findall(lower)
    one_to = naming == [b"to:"]
    if not one_to and (b"bcc:" in naming or b"resent-" in naming):
        return None
    # not "in": for octets it tries first whether they are a number, which takes as long as two searches
    find = lower.find
    at = find(b"\nmessage-id:")
    if at < 0 or find(b"\nfrom:") < 0 or find(b"\ndate:") < 0 or find(b"\0") >= 0:
        return None
    message_id = _value_at(head, at + 11)
    if not message_id:
        return None
    to = _value_at(head, find(b"\nto:") + 3) if one_to else ""
    return AsItIs(data, head, message_id, to=to, seven_bit=seven_bit)


def _value_at(head: bytes, start: int) -> str:
    """Return the value of a header field, unfolded, which starts there."""
    end = head.find(b"\r\n", start)
    if head[end + 2] in _BLANK:
        while head[end + 2] in _BLANK:
            end = head.find(b"\r\n", end + 2)
        return head[start:end].replace(b"\r\n", b"").decode("utf-8", "replace").strip()
    return head[start:end].decode("utf-8", "replace").strip()


def from_email(
    message: email.message.Message,
    *,
    sender: Address,
    rewrite_from: bool,
    added: Added | None = None,
) -> Raw | AsItIs:
    """Make content of an ``EmailMessage`` (or an older ``Message``): written down by the standard library, then as
    ``from_bytes``.

    Its addresses we write ourselves (``_with_addresses_written``). Raises ``MessageError``.
    """
    from email.errors import MessageError as EmailError
    from email.generator import BytesGenerator
    from email.message import Message as StdlibMessage
    from email.policy import SMTPUTF8, EmailPolicy
    from io import BytesIO

    if not isinstance(message, StdlibMessage):
        raise MessageError(
            f"A message is a Message, an EmailMessage or bytes, not {type(message).__name__}.", field="message"
        )
    _refuse_line_breaks(message)
    message, utf8 = _with_addresses_written(message)
    policy = message.policy.clone(linesep="\r\n")
    if isinstance(policy, EmailPolicy):
        policy = policy.clone(refold_source="none", utf8=utf8)
    elif utf8:
        policy = SMTPUTF8.clone(refold_source="none")
    out = BytesIO()
    try:
        BytesGenerator(out, mangle_from_=False, policy=policy).flatten(message)
    except (EmailError, ValueError, LookupError, TypeError, AttributeError) as problem:
        raise MessageError(
            f"This {type(message).__name__} cannot be written down: {problem}", field="message"
        ) from problem
    return from_bytes(out.getvalue(), sender=sender, rewrite_from=rewrite_from, added=added)


def _split(data: bytes, *, clean: bool) -> tuple[Fields, memoryview]:
    """Return the header's fields and the body.

    A header ends at a blank line, or where a line is no header field any more (as ``email`` and mail servers read it).
    """
    head, start = data, len(data)
    if clean and not data.startswith(b"\r\n"):
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            head, start = data[:end], end + 4
    else:
        if blank := _BLANK_LINE.search(data):
            head, start = data[: blank.start()], blank.end()
        head = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    whole = _FIELDS.findall(head + b"\r\n")
    if sum([len(line) + 2 for line, _ in whole]) != len(head) + 2:  # something odd lies between the fields
        return _split_odd(data, head, start)
    if b"\0" in head:
        raise MessageError("headers: a header field has a NUL character in it.", field="headers")
    return [(name.lower(), line) for line, name in whole], memoryview(data)[start:]


def _split_odd(data: bytes, head: bytes, start: int) -> tuple[Fields, memoryview]:
    """Return the same for a header that is not what RFC 5322 says, line by line."""
    lines = head.removesuffix(b"\r\n").split(b"\r\n")
    if lines[0].startswith(b"From ") or not head:
        del lines[0]
    fields: Fields = []
    for number, line in enumerate(lines):
        name = _FIELD.match(line)
        if line[:1] in (b" ", b"\t"):
            if fields:  # a continuation of nothing would continue somebody else's field
                fields[-1] = (fields[-1][0], fields[-1][1] + b"\r\n" + line)
        elif name is None:
            blank = b"\r\n"
            if start < len(data) or data.endswith((b"\r\n\r\n", b"\n\n", b"\r\r")):
                blank = b"\r\n\r\n"
            return fields, memoryview(b"\r\n".join(lines[number:]) + blank + data[start:])
        elif b"\0" in line:
            raise MessageError("headers: a header field has a NUL character in it.", field="headers")
        else:
            fields.append((name[1].lower(), line))
    return fields, memoryview(data)[start:]


def _rewritten(fields: Fields, sender: Address) -> Fields:
    """Replace the message's From by the account's; the first goes to Reply-To if there is none and it takes mail."""
    value = _value(fields, b"from")
    place = [name for name, _ in fields].index(b"from")
    kept = [field for field in fields if field[0] != b"from"]
    kept.insert(place, (b"from", _line(address_field("From", (sender,)))))
    try:
        original = [address.wire for address in read_addresses(value, "from")]
    except MessageError:
        original = []  # such as cron's "root (Cron Daemon)" without a host
    if original and original != [sender.wire] and not any(name == b"reply-to" for name, _ in fields):
        kept.insert(place + 1, (b"reply-to", b"Reply-To:" + fields[place][1].partition(b":")[2]))
    return kept


def _recipients(fields: Iterable[tuple[bytes, bytes]]) -> tuple[str, ...]:
    """Return the recipients: those of To, Cc and Bcc, or of the Resent- fields where there are any (RFC 5322 section
    3.6.6).
    """
    names = [name for name, _ in fields]
    wanted = _TO
    if not _RESENT.isdisjoint(names):
        wanted = _RESENT_TO
        if max(map(names.count, _RESENT)) > 1:
            raise MessageError(
                "resent-to: the message was resent more than once; please give envelope=.", field="resent-to"
            )
    found: dict[str, None] = {}
    for name in wanted:
        if name not in names:
            continue
        for value in [_unfolded(line) for other, line in fields if other == name]:
            if is_plain(value):  # one bare address, as most programs write it
                found[value] = None
            else:
                found.update(dict.fromkeys([address.wire for address in read_addresses(value, name.decode())]))
    return tuple(found)


def _value(fields: Fields, wanted: bytes) -> str:
    for name, line in fields:
        if name == wanted:
            return _unfolded(line)
    return ""


def _unfolded(line: bytes) -> str:
    return line.partition(b":")[2].replace(b"\r\n", b"").decode("utf-8", "replace").strip()


def _line(field: str) -> bytes:
    return field.encode().removesuffix(b"\r\n")


def _refuse_line_breaks(message: email.message.Message) -> None:
    """Refuse header values that would become other header fields: the old policy of ``email`` lets them in."""
    for part in message.walk():
        for name, value in part.raw_items():
            if _LINE_BREAK.search(str(value)) or _LINE_BREAK.search(name):
                raise MessageError(
                    f"{name[:80]!a}: the header field has a line break or a NUL character in it.", field=name.lower()
                )


def _with_addresses_written(message: email.message.Message) -> tuple[email.message.Message, bool]:
    """Return the message with its addresses written by us (a copy where that changes it); whether one needs SMTPUTF8.

    The standard library encodes domains as words, which no server understands, and before 2025 it encoded commas
    between addresses too: the recipient behind such a comma was lost (CVE-2025-1795).
    """
    fields: list[tuple[str, Any]] = []
    changed = utf8 = False
    for name, value in message.raw_items():
        text = str(value).replace("\r", "").replace("\n", "")  # a parsed value is still folded
        fields.append((name, value))
        if name.lower().removeprefix("resent-") not in ADDRESSED or (text.isascii() and not hasattr(value, "groups")):
            continue
        try:
            groups = _groups(value, text, name.lower())
            written = groups_field(name, groups)
        except MessageError:
            continue  # as it is; should a recipient be missing for it, that is said where recipients are read
        utf8 = utf8 or not written.isascii()
        fields[-1] = (name, written.partition(":")[2].strip())
        changed = True
    if changed:
        message = copy(message)
        for name in {name for name, _ in fields}:
            del message[name]  # makes a new list: the application's own message stays as it is
        for field in fields:
            message.set_raw(*field)
    return message, utf8


def _groups(value: Any, text: str, name: str) -> list[tuple[str | None, list[Address]]]:
    if not hasattr(value, "groups"):  # the old policy, or octets outside ASCII that a parser kept
        return [(None, list(read_addresses(text, name)))]
    return [
        (group.display_name, [Address(each.addr_spec, without_refused(each.display_name)) for each in group.addresses])
        for group in value.groups
    ]
