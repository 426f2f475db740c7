"""The Celery application that the tests' workers run, each in a process of its own; ``celery_workers.py`` starts them.

Everything comes from the environment: BROKER, RESULTS, LEASE, PAUSES, OPTIONS (Celery's settings, as JSON).
"""

from __future__ import annotations

import json
import os
import time

from celery import Celery
from franking.celery import mail_task

app = Celery("mail", broker=os.environ["BROKER"], backend=os.environ.get("RESULTS"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    **json.loads(os.environ.get("OPTIONS", "{}")),
)
send = mail_task(
    app,
    journal_lease=float(os.environ.get("LEASE", "60")),
    pauses=json.loads(os.environ.get("PAUSES", "null")),
)


@app.task(name="nap", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def nap(seconds: float) -> None:
    """What the benchmark holds mail against."""
    time.sleep(seconds)
