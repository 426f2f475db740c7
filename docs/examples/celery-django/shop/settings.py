"""Settings of the example: only what sending mail needs."""

import os

import django

SECRET_KEY = "only for this example"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["franking.django"]
USE_TZ = True

DEFAULT_FROM_EMAIL = "Jan Novák <info@novak.cz>"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "franking.django.CeleryBackend", "OPTIONS": {"account": "shop"}}}
else:
    EMAIL_BACKEND = "franking.django.CeleryBackend"
    FRANKING_ACCOUNT = "shop"

CELERY_BROKER_URL = os.environ.get("BROKER_URL", "amqp://localhost")
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
