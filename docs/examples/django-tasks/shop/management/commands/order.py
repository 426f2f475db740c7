"""Confirm an order: ``python manage.py order ADDRESS NUMBER``. A number is confirmed once, however often this runs."""

from typing import Any

from django.core.management.base import BaseCommand

import franking
from shop.tasks import send


class Command(BaseCommand):
    """Hand a confirmation to the workers."""

    help = "Confirm an order by mail."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("to")
        parser.add_argument("number")

    def handle(self, to: str, number: str, **options: Any) -> None:
        message = franking.Message(to=[to], subject=f"Order {number}", text="Thank you for your order.")
        send.enqueue("shop", message.as_bytes("info@novak.cz").decode("latin-1"), f"order-{number}")
