"""What people type: sign-in, passwords, tokens, people and their grants. Errors are sentences."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from brokers.registry.models import Broker
from dashboard.accounts.models import ApiToken, Role, User

TOKENS_MOST = 50


class SignInForm(AuthenticationForm):
    """Name and password."""

    error_messages = {
        "invalid_login": "This name and password fit no active account.",
        "inactive": "This name and password fit no active account.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        for name, field in self.fields.items():
            field.error_messages["required"] = f"Enter your {'user name' if name == 'username' else 'password'}."


class PasswordForm(PasswordChangeForm):
    """The present password and the new one, twice. Wrong present passwords count against the sign-in's limit."""

    error_messages = {
        **PasswordChangeForm.error_messages,
        "password_incorrect": "This is not your present password.",
        "password_mismatch": "The two new passwords differ.",
        "same": "This is the password that you have; choose another.",
    }

    def __init__(self, user: User, request: HttpRequest, data: Any = None) -> None:
        self.request = request
        super().__init__(user, data)

    def clean_old_password(self) -> str:
        """Check the present password through the throttled door."""
        old: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.get_username(), password=old) is None:
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return old

    def clean(self) -> dict[str, Any] | None:
        """Refuse the old password as the new one."""
        cleaned = super().clean()
        old, new = self.cleaned_data.get("old_password"), self.cleaned_data.get("new_password1")
        if old and old == new:
            self.add_error("new_password1", self.error_messages["same"])
        return cleaned


class TokenForm(forms.Form):
    """A token's name and how long it is good for."""

    LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("0", "until revoked")]

    name = forms.CharField(max_length=80, error_messages={"required": "Say what the token is for."})
    lifetime = forms.ChoiceField(choices=LIFETIMES, initial="90")

    def __init__(self, user: User, data: Any = None) -> None:
        self.user = user
        super().__init__(data)

    def clean(self) -> dict[str, Any] | None:
        """Bound how many tokens one person has."""
        if ApiToken.objects.filter(user=self.user).count() >= TOKENS_MOST:
            raise ValidationError(
                f"You have {TOKENS_MOST} tokens, the most that one person may have. Revoke one first."
            )
        return super().clean()

    def expires(self) -> datetime | None:
        """Return the moment chosen, or None for *until revoked*."""
        days = int(self.cleaned_data["lifetime"])
        return timezone.now() + timedelta(days=days) if days else None


# Django's class takes no type argument when it runs.
if TYPE_CHECKING:
    _Choice = forms.ModelChoiceField[Broker]
else:
    _Choice = forms.ModelChoiceField


class BrokerChoice(_Choice):
    """A broker by its name; none stands for all of them."""

    def label_from_instance(self, obj: Any) -> str:
        """Return the broker's name."""
        return str(obj.name)


class GrantForm(forms.Form):
    """A role on a scope."""

    role = forms.ChoiceField(choices=Role.choices, initial=Role.VIEWER.value)
    broker = BrokerChoice(
        Broker.objects.only("id", "name"),
        required=False,
        empty_label="All brokers",
        error_messages={"invalid_choice": "This broker is not there any more. Choose another."},
    )
    vhost_pattern = forms.CharField(max_length=255, required=False, strip=False)

    def clean(self) -> dict[str, Any] | None:
        """Refuse a pattern without a broker."""
        cleaned = super().clean()
        if self.cleaned_data.get("vhost_pattern") and self.cleaned_data.get("broker") is None:
            self.add_error(
                "vhost_pattern", "A vhost pattern belongs to one broker. Choose it, or leave the pattern empty."
            )
        return cleaned

    @property
    def scope(self) -> tuple[Role, Broker | None, str]:
        """Role, broker (None: all) and vhost pattern of a valid form."""
        data = self.cleaned_data
        return Role(data["role"]), data["broker"], data["vhost_pattern"]


class PersonForm(GrantForm):
    """A new person and their first grant."""

    username = forms.CharField(
        max_length=150,
        validators=[UnicodeUsernameValidator(message="A user name has letters, digits and @ . + - _ only.")],
        error_messages={"required": "Enter a user name."},
    )
    field_order = ["username", "role", "broker", "vhost_pattern"]

    def clean_username(self) -> str:
        """Refuse a name that is taken, by letters of any case, since people tell names apart by eye."""
        username: str = User.normalize_username(self.cleaned_data["username"])
        if User.objects.filter(username__iexact=username).exists():
            raise ValidationError(f"There is already an account named {username}.")
        return username
