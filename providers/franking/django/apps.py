"""The Django application ``franking.django``: for the system check and the command ``franking_login``. It has no
models.
"""

from django.apps import AppConfig
from django.core.checks import register

__all__ = ["FrankingConfig"]


class FrankingConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Put the checks of ``checks.py`` into ``manage.py check``."""

    name = "franking.django"
    label = "franking"
    verbose_name = "Franking"

    def ready(self) -> None:
        from franking.django.checks import check_accounts

        register(check_accounts, "franking")
