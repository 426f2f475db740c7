"""A shop whose mail Dramatiq's workers send: ``dramatiq tasks``, then ``python tasks.py you@example.com 114``."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

import franking
from franking.sending import deliver_once, open_journal

dramatiq.set_broker(RedisBroker(url=os.environ.get("BROKER_URL", "redis://localhost/0")))
journal = open_journal()  # where FRANKING_STORE is

FIVE_DAYS = 5 * 24 * 3600 * 1000


@dramatiq.actor(max_retries=None, max_age=FIVE_DAYS)
def send(account: str, message: str, key: str) -> None:
    try:
        result = deliver_once(account, message.encode("latin-1"), key=key, journal=journal)
    except franking.FrankingError as problem:  # surely nothing went: later
        seconds = getattr(problem, "retry_after", None) or 60
        raise dramatiq.Retry(str(problem), delay=int(seconds * 1000)) from problem
    print(key, result["outcome"], result["diagnosis"], flush=True)


if __name__ == "__main__":
    to, number = sys.argv[1:]
    confirmation = franking.Message(to=[to], subject=f"Order {number}", text="Thank you for your order.")
    send.send("shop", confirmation.as_bytes("info@novak.cz").decode("latin-1"), f"order-{number}")
