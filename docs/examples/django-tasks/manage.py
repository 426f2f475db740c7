"""A shop whose mail the workers of ``django.tasks`` send: ``python manage.py migrate``, ``python manage.py db_worker``,
and ``python manage.py order you@example.com 114``.
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
