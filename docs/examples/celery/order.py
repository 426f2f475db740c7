"""Confirm an order: ``python order.py ADDRESS NUMBER``. A number is confirmed once, however often this runs."""

import sys

from tasks import send

import franking

to, number = sys.argv[1:]
message = franking.Message(to=[to], subject=f"Order {number}", text="Thank you for your order.")
task = send.delay("shop", message.as_bytes("info@novak.cz"), key=f"order-{number}")
result = task.get(timeout=600)
print(result["outcome"], result["message_id"], result["diagnosis"])
