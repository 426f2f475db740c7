"""The Celery application, with the task that sends."""

import os

from celery import Celery
from franking.celery import mail_task

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
send = mail_task(app)
