"""Django's handle on this package."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The tables of dashboard.accounts."""

    name = "dashboard.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Let the rights epoch follow every change."""
        from dashboard.accounts import signals  # noqa: PLC0415 - models are not there before this

        signals.connect()
