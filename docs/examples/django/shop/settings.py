"""Settings of the example: only what sending mail needs."""

import django

SECRET_KEY = "only for this example"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["franking.django"]  # for `manage.py check` and `manage.py franking_login`
USE_TZ = True

DEFAULT_FROM_EMAIL = "Jan Novák <info@novak.cz>"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "franking.django.EmailBackend", "OPTIONS": {"account": "shop"}}}
else:
    EMAIL_BACKEND = "franking.django.EmailBackend"
    FRANKING_ACCOUNT = "shop"
