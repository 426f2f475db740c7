"""What the tests of Graph send, and how they look at what became of it."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.message.prepare import prepare
from franking.outlook.plan import plan
from servers.microsoft import Microsoft

Make = Callable[..., franking.Account]


class Tokens:
    """A secret that gives out tokens of the stand-in, a new one when one was refused."""

    def __init__(self, microsoft: Microsoft, *scopes: str, **more: Any) -> None:
        self._issue = lambda: microsoft.issue(*scopes, **more)
        self.token = self._issue()
        self.renewals = 0

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after == self.token:
            self.token = self._issue()
            self.renewals += 1
        return self.token


SMALL = franking.Message(to=["jana@example.cz"], subject="x", text="y")


def rich(tmp_path: Path, size: int, **more: Any) -> franking.Message:
    """Compose a message of about this many octets of MIME with all that is hard in it."""
    files: list[Any] = [franking.Attachment(data=b"\x89PNG" + b"logo" * 50, name="logo.png", cid="logo")]
    if size > 20_000:
        path = tmp_path / "Příloha č. 1 – účty.pdf"
        octets = int(size * 57 / 78) - 3_000
        block = hashlib.sha256(str(size).encode()).digest() * 32_768
        with path.open("wb") as file:
            for start in range(0, octets, len(block)):
                file.write(block[: octets - start])
        files += [str(path), franking.Attachment(data=b"a;b\r\n1;2\r\n", name="tabulka.csv", content_type="text/csv")]
    return franking.Message(
        to=["Jana Nová <jana@example.cz>", "petr@example.cz"],
        cc=["účetní <ucetni@example.cz>"],
        bcc=["boss@example.cz"],
        reply_to=["Odpovědi <odpovedi@contoso.com>"],
        subject="Faktura č. 2026/114 – žluťoučký kůň",
        text="Dobrý den,\n\npříklad …\n",
        html='<p>Dobrý den, <img src="cid:logo"> příklad …</p>',
        attachments=files,
        **{"headers": {"X-Order": "114"}, **more},
    )


def check_stored(
    microsoft: Microsoft, message: franking.Message, receipt: franking.Receipt, *, text: bool = True
) -> Any:
    """Compare what Graph stored with what was composed."""
    (stored,) = microsoft.graph.sent
    assert stored.subject == message.subject
    assert stored.sender == "jan@contoso.com"
    assert stored.to == ["jana@example.cz", "petr@example.cz"]
    assert (stored.cc, stored.bcc, stored.reply_to) == (
        ["ucetni@example.cz"],
        ["boss@example.cz"],
        ["odpovedi@contoso.com"],
    )
    assert stored.message_id == receipt.message_id
    assert ("X-Order", "114") in stored.headers
    assert stored.html is not None
    assert stored.html.strip() == message.html
    assert not text or (stored.text or "").replace("\r\n", "\n").strip() == (message.text or "").strip()
    found = {(file.name, file.size, file.digest, file.inline, file.cid) for file in stored.files}
    wanted = set()
    for attachment in message.attachments:
        data = b"".join(attachment.read(attachment.measure()))
        inline = attachment.cid is not None
        wanted.add((attachment.name, len(data), hashlib.sha256(data).hexdigest(), inline, attachment.cid))
    assert found == wanted
    assert set(receipt.accepted) == set(stored.recipients)
    assert not microsoft.graph.drafts
    return stored


def message_of(size: int, **more: Any) -> franking.Message:
    files = [franking.Attachment(data=b"x" * (size * 57 // 78), name="a.bin")]
    return franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files, **more)


def planned(account: franking.Account, message: Any) -> Any:
    return plan(account, prepare(message, sender=account.sender).content)


def refusal(account: franking.Account, message: Any, tokens: Any, microsoft: Microsoft) -> Any:
    """Send what fails; give the error, in which no secret is."""
    with pytest.raises(franking.FrankingError) as caught:
        franking.send(account, message, secret=tokens)
    error = caught.value
    told = f"{error} {error.evidence} {error.diagnosis} {''.join(traceback.format_exception(error))}"
    assert not [secret for secret in microsoft.secrets if secret[:40] in told]
    return caught.value
