"""A worker on a machine of its own, which renews a sign-in in a shared store when it is told to: what the proofs start,
stop and kill.

    python shared_worker.py STORE KEY STATE ISSUER AHEAD

``get`` and ``renew`` on stdin are answered by a token on stdout, or by ``!`` and the error. AHEAD is how far, in
seconds, its clock is ahead.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace

store_url, key, state, issuer, ahead = sys.argv[1:]
right = time.time
time.time = lambda: right() + float(ahead)
os.environ |= {"FRANKING_STORE": store_url, "FRANKING_STORE_KEY": key, "FRANKING_STATE_DIR": state}

from franking.account.account import Account
from franking.auth.secret import Grant
from franking.auth.sources import Sources
from franking.auth.store import open_store
from franking.auth.token import TokenSecret
from franking.errors import FrankingError, LoginRequired
from servers.renewal import Provider


def refresh(old: Grant | None) -> Grant:
    assert old is not None
    request = urllib.request.Request(issuer, data=str(old.data["refresh_token"]).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            access, following = answer.read().decode().split()
    except urllib.error.HTTPError:
        raise LoginRequired("invalid_grant") from None
    now = time.time()
    data = {"refresh_token": following}
    return replace(old, access_token=access, data=data, refreshed_at=now, expires_at=now + 3600)


account = Account(name="shop", provider="gmail", sender="jana@example.cz").referred_to_as("shop")
provider = Provider(refresh, True, len)
secret = TokenSecret(Sources(account, open_store(), {}), provider, "gmail-api")
last = None
print("ready", flush=True)
for line in sys.stdin:
    try:
        last = secret.get(renew_after=last if line.strip() == "renew" else None)
        print(last, flush=True)
    except FrankingError as problem:
        print(f"!{type(problem).__name__} {problem.temporary} {problem}", flush=True)
