"""The brokers that the tests of task queues start are real ones, and lose nothing that they said they have."""

from __future__ import annotations

from typing import Any

import kombu
import pytest

from servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(300)  # twice an Erlang virtual machine, on a busy machine


def connected(broker: RabbitMQ) -> Any:
    return kombu.Connection(broker.url, transport_options={"confirm_publish": True})


def test_what_rabbitmq_confirmed_outlives_it(rabbitmq: RabbitMQ) -> None:
    with connected(rabbitmq) as connection, connection.SimpleQueue("letters") as queue:
        queue.put({"number": 1})
    rabbitmq.kill()
    rabbitmq.start()
    with connected(rabbitmq) as connection, connection.SimpleQueue("letters") as queue:
        message = queue.get(timeout=60)
        message.ack()
    assert message.payload == {"number": 1}
