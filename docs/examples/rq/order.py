"""Confirm an order: ``python order.py ADDRESS NUMBER``. A number is confirmed once, however often this runs."""

import os
import sys

from redis import Redis
from rq import Queue, Retry
from tasks import send

import franking

to, number = sys.argv[1:]
message = franking.Message(to=[to], subject=f"Order {number}", text="Thank you for your order.")
queue = Queue(connection=Redis.from_url(os.environ.get("BROKER_URL", "redis://localhost/0")))
# the Retry is for workers that die: what they had is taken up again
job = queue.enqueue(
    send, "shop", message.as_bytes("info@novak.cz"), f"order-{number}", retry=Retry(max=10), result_ttl=3600
)
print(job.id)
