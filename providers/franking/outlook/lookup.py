"""Whether the mailbox holds a message that Microsoft Graph accepted: asked by its Message-ID, which Exchange keeps.

Source: learn.microsoft.com/graph/api/user-list-messages ($filter on internetMessageId; needs Mail.ReadWrite, or
Mail.Read).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from franking.api_session import json_of
from franking.outlook.client import GraphClient

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.secret import Secret

__all__ = ["find"]


def find(account: Account, secret: Secret, message_id: str) -> bool:
    """Return whether a message with that Message-ID is there which is no draft; False proves nothing."""
    wanted = quote("internetMessageId eq '{}'".format(message_id.replace("'", "''")))
    client = GraphClient(account, secret)
    try:
        url = f"{client.mailbox}/messages?$filter={wanted}&$select=id,isDraft"
        found = json_of(client.ask("GET", url, expected=(200,))).get("value")
    finally:
        client.close()
    return isinstance(found, list) and any(isinstance(one, dict) and one.get("isDraft") is False for one in found)
