"""Django's handle on this package."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The tables of dashboard.accounts."""

    name = "dashboard.accounts"
    label = "accounts"
