"""Settings of the example: a database, and the workers that look into it (django-tasks-db).

What is known of each message lies in the same database: FRANKING_STORE=postgresql://…, once: franking store init.
"""

import os

SECRET_KEY = "only for this example"  # noqa: S105
INSTALLED_APPS = ["django_tasks_db", "shop"]
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", "localhost"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "NAME": os.environ.get("PGDATABASE", "shop"),
        "USER": os.environ.get("PGUSER", "shop"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
