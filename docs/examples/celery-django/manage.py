"""A shop whose mail Celery's workers send: ``celery -A shop worker``, and ``python manage.py runserver``; then POST
to=you@example.com to /orders/.
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
