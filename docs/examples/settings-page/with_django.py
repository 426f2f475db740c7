"""The settings page in Django; a whole project in one file: ``python with_django.py runserver``."""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import include, path

from franking.web import SettingsPage

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, DEBUG=True)


def may(request) -> bool:
    return request.headers.get("X-User") == "admin"  # left out: staff only


urlpatterns = [path("settings/mail/", include(SettingsPage(authorize=may).django_urls))]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
