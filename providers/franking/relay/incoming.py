"""A message as it was received → what the outbox keeps: ``Received:`` in front, what is missing added, the envelope.

On routes of an API recipients come from the header: who stands in the envelope alone becomes a Bcc; who stands in the
header alone must not get it, so the message is refused there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from franking.errors import MessageError
from franking.message.address import Address, Envelope, is_plain
from franking.message.content import gathered
from franking.message.headers import address_field, date_now, read_addresses
from franking.message.prepare import Prepared
from franking.message.raw import Fields, from_bytes, read_header
from franking.relay.mending import in_ascii

if TYPE_CHECKING:
    from franking.message.parser import Parts
    from franking.provider import RouteFacts

__all__ = ["Header", "Incoming", "Unwanted", "compose", "received_line", "strangers"]

MOST_HOPS = 30
_STEP = 1 << 16
_HIDDEN = frozenset((b"bcc", b"resent-bcc"))
_TO = ("to", "cc", "bcc")


class Unwanted(Exception):
    """Say why a message is not taken: reply code, enhanced code, words."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.code, self.enhanced, self.text = code, enhanced, text


class Header:
    """A message's header, read once: its fields, who wrote it, where it has been."""

    __slots__ = ("authors", "end", "fields", "message_id", "missing", "names", "octets")

    def __init__(self, begin: bytes, *, utf8: bool = False) -> None:
        """Read the header at the beginning of a message; ``utf8``: its client knows SMTPUTF8. Raises ``Unwanted``."""
        self.end = 2
        if not begin.startswith(b"\r\n"):
            self.end = begin.find(b"\r\n\r\n") + 4
        self.octets = begin[: self.end]
        if self.end < 4 and self.octets != b"\r\n":  # no blank line: all of it is header
            self.end, self.octets = len(begin), begin + b"\r\n"
        try:
            self.fields: Fields = read_header(self.octets, clean=True)[0]
            if not utf8 and not self.octets.isascii() and (mended := in_ascii(self.fields)) is not self.fields:
                self.fields = mended
                self.octets = b"".join([line + b"\r\n" for _, line in mended]) + b"\r\n"
        except MessageError as problem:
            raise Unwanted(554, "5.6.0", str(problem)) from None
        self.names = [name for name, _ in self.fields]
        if self.names.count(b"received") > MOST_HOPS:
            raise Unwanted(554, "5.4.6", "the message goes in a circle: it has passed more than 30 servers")
        self.authors = self.addresses("from")
        self.message_id = ""
        if b"message-id" in self.names:
            self.message_id = _value(self.fields[self.names.index(b"message-id")][1])
        #: what will be added
        there = (("date", b"date" in self.names), ("from", self.authors), ("message-id", self.message_id))
        self.missing = tuple([word for word, found in there if not found])

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the addresses in the fields of that name. Raises ``Unwanted``."""
        wanted = name.encode()
        if wanted not in self.names:
            return ()
        found: list[str] = []
        for field, line in self.fields:
            if field == wanted and (value := _value(line)):
                if is_plain(value):  # one bare address, as most programs write it
                    found.append(value)
                    continue
                try:
                    found += [address.wire for address in read_addresses(value, name)]
                except MessageError as problem:
                    if name != "from":  # cron's "root (Cron Daemon)" is no address: the account decides
                        raise Unwanted(554, "5.6.0", str(problem)) from None
        return tuple(found)


class Incoming:
    """The content of a message that was received: its header held, its body partly in memory, the rest in a file."""

    __slots__ = (
        "__weakref__", "body", "eight_bit", "head", "head_with_bcc", "message_id", "recipients", "rest", "rest_size",
        "smtputf8",
    )  # fmt: skip

    def __init__(
        self,
        head: bytes,
        head_with_bcc: bytes,
        body: bytes,
        rest: tuple[Path | None, int],
        *,
        message_id: str,
        recipients: tuple[str, ...],
        eight_bit: bool,
        smtputf8: bool,
    ) -> None:
        """``rest`` is the file that the body goes on in, if it does, and its size."""
        self.head, self.head_with_bcc, self.body = head, head_with_bcc, body
        self.rest, self.rest_size = rest
        self.message_id, self.recipients = message_id, recipients
        self.eight_bit, self.smtputf8 = eight_bit, smtputf8

    @property
    def size(self) -> int:
        return len(self.head) + len(self.body) + self.rest_size

    def size_with_bcc(self) -> int:
        return len(self.head_with_bcc) + len(self.body) + self.rest_size

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        head = self.head_with_bcc if bcc else self.head
        if self.rest is None:
            yield head + self.body
        else:
            yield from gathered(self._pieces(head))

    def _pieces(self, head: bytes) -> Iterator[bytes]:
        yield head
        yield self.body
        assert self.rest is not None
        with self.rest.open("rb") as file:
            while piece := file.read(_STEP):
                yield piece

    def parts(self) -> Parts:
        from franking.message.parser import parse_parts

        return parse_parts(b"".join(self.chunks(bcc=True)))


def compose(
    header: Header,
    begin: bytes,
    rest: tuple[Path | None, int],
    *,
    sender: str,
    recipients: Sequence[str],
    account: Address,
    rewrite_from: bool,
    route: RouteFacts,
    received: bytes,
    eight_bit: bool,
) -> Prepared:
    """Return the envelope and the content that are put into the outbox. Raises ``Unwanted``."""
    octets = header.octets
    lacks_from = not header.authors
    try:
        if lacks_from and b"from" in header.names:
            octets = b"".join(line + b"\r\n" for name, line in header.fields if name != b"from") + b"\r\n"
        # a header that has something between its fields which is none of them is taken apart and written anew
        regular = sum([len(line) + 2 for _, line in header.fields]) + 2 == len(header.octets)
        usual = regular and not (rewrite_from or header.missing)
        raw = None if usual else from_bytes(octets, sender=account, rewrite_from=rewrite_from)
    except MessageError as problem:
        raise Unwanted(554, "5.6.0", str(problem)) from None
    message_id = header.message_id
    if raw is not None:
        octets, message_id = b"".join(raw.chunks(bcc=True)), raw.message_id
    if route.api:
        octets = _with_everybody(header, octets, recipients)
        sender = sender or account.wire
    if rewrite_from and sender:
        sender = account.wire
    whole = received + octets
    visible = whole
    if not header.names or route.api or not _HIDDEN.isdisjoint(header.names):
        fields = read_header(whole)[0]
        visible = b"".join([line + b"\r\n" for name, line in fields if name not in _HIDDEN]) + b"\r\n"
    body = begin[header.end :]
    envelope = Envelope(sender, dict.fromkeys(recipients))
    ascii_only = whole.isascii() and sender.isascii() and all(map(str.isascii, recipients))
    content = Incoming(
        visible,
        whole,
        body,
        rest,
        message_id=message_id,
        recipients=envelope.recipients,
        eight_bit=eight_bit,
        smtputf8=not ascii_only,
    )
    return Prepared(envelope, content)


def strangers(header: Header, recipients: Sequence[str]) -> list[str]:
    """Return who stands in the header and not in the envelope: an API would send it there. Raises ``Unwanted``."""
    wanted = set(map(_folded, recipients))
    return sorted(_named(header) - wanted)


def _named(header: Header) -> set[str]:
    return {_folded(address) for name in _TO for address in header.addresses(name)}


def _with_everybody(header: Header, octets: bytes, recipients: Sequence[str]) -> bytes:
    """Return the header with a Bcc for who stands in the envelope alone. Raises ``Unwanted`` for who stands in the
    header alone.
    """
    if others := strangers(header, recipients):
        raise Unwanted(
            550,
            "5.6.0",
            f"{others[0]} stands in the header and not in the envelope, and this account's route would send it "
            'there; give the account route = "smtp"',
        )
    named = _named(header)
    hidden = [Address(address) for address in dict.fromkeys(recipients) if _folded(address) not in named]
    if not hidden:
        return octets
    line = address_field("Bcc", hidden).encode()
    if b"bcc" not in header.names:
        return octets[:-2] + line + b"\r\n"
    both = [*map(Address, header.addresses("bcc")), *hidden]
    kept = [line for name, line in read_header(octets)[0] if name != b"bcc"]
    return b"".join([line + b"\r\n" for line in kept]) + address_field("Bcc", both).encode() + b"\r\n"


def received_line(protocol: str, name: str, id: str, client: str = "") -> bytes:
    """Return the field that says where a message has been; nothing of the client unless ``client`` does."""
    return f"Received: {client}by {name} (Franking relay) with {protocol} id {id};\r\n\t{date_now()}\r\n".encode()


def _value(line: bytes) -> str:
    return line.partition(b":")[2].replace(b"\r\n", b"").decode(errors="replace").strip()


def _folded(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"
