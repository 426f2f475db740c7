"""A shop whose mail Celery's workers send: ``celery -A tasks worker``, then ``python order.py you@example.com 114``.

What publishes and what works both need FRANKING_STORE (and FRANKING_STORE_KEY), where it is written down what was sent.
"""

import os

from celery import Celery
from franking.celery import mail_task

app = Celery("shop", broker=os.environ.get("BROKER_URL", "redis://localhost/0"))
app.conf.result_backend = os.environ.get("RESULT_URL", "redis://localhost/1")
app.conf.worker_prefetch_multiplier = 1  # a message that waits in one worker could go by another

send = mail_task(app)
