"""The Celery application is there whenever Django is."""

from .celery import app as celery_app

__all__ = ["celery_app"]
