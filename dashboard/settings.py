"""Warren's settings. Everything that differs between installations comes from WARREN_* in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import dj_database_url
import plotly
from django.contrib.messages import constants as message_levels
from django.core.exceptions import ImproperlyConfigured

from dashboard.data_folder import BASE_DIR, DATABASE, data_dir
from dashboard.secret_keys import load_keys, signing_key


def _flag(name: str, default: bool) -> bool:
    return os.environ.get(name, "1" if default else "0").lower() in {"1", "true", "yes", "on"}


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {text!r}; it must be a whole number.") from error


# What an installation decides
WARREN_HOST = os.environ.get("WARREN_HOST", "127.0.0.1")
WARREN_PORT = _number("WARREN_PORT", 8000)
WARREN_DATA_DIR = data_dir()
WARREN_REDIS_URL = os.environ.get("WARREN_REDIS_URL", "")
# Reverse proxies in front, whose X-Forwarded-For is believed; 0: none.
WARREN_PROXIES = _number("WARREN_PROXIES", 0)
WARREN_BROKERS = os.environ.get("WARREN_BROKERS", "").split()
WARREN_SECRET_KEYS = load_keys(os.environ.get("WARREN_SECRET_KEYS"), WARREN_DATA_DIR / "secret-keys")
# Snapshots older than this are deleted; hours.
WARREN_HISTORY_HOURS = _number("WARREN_HISTORY_HOURS", 48)
# What /metrics has of each broker: so many of the worst queues by each of three measures, and the largest vhosts.
WARREN_METRICS_QUEUES = _number("WARREN_METRICS_QUEUES", 10)
WARREN_METRICS_VHOSTS = _number("WARREN_METRICS_VHOSTS", 50)
# Polling stops while the disk of an SQLite database has less free than this; MiB.
WARREN_LEAST_ROOM_MB = _number("WARREN_LEAST_ROOM_MB", 64)

SECRET_KEY = signing_key(WARREN_SECRET_KEYS[0])
SECRET_KEY_FALLBACKS = [signing_key(key) for key in WARREN_SECRET_KEYS[1:]]
DEBUG = _flag("WARREN_DEBUG", False)
ALLOWED_HOSTS = os.environ.get("WARREN_ALLOWED_HOSTS", f"localhost 127.0.0.1 [::1] {WARREN_HOST}").split()
CSRF_TRUSTED_ORIGINS = os.environ.get("WARREN_TRUSTED_ORIGINS", "").split()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "axes",
    "brokers.registry",
    "brokers.series",
    "brokers.collect",
    "dashboard",
    "dashboard.accounts",
    "dashboard.annotations",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "dashboard.security.ContentSecurityPolicyMiddleware",
    "dashboard.api.middleware.ApiMiddleware",
    "dashboard.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dashboard.accounts.middleware.SignedInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "dashboard.zone.ZoneMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "dashboard.urls"
ASGI_APPLICATION = "dashboard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.navigation.navigation",
            ],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ]
            if not DEBUG
            else [
                "django.template.loaders.filesystem.Loader",
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }
]

# The database. SQLite takes its write lock at BEGIN, so that two writers queue instead of failing half-way.
_database_url = os.environ.get("WARREN_DATABASE_URL", "")
if _database_url:
    DATABASES = {"default": dj_database_url.parse(_database_url, conn_max_age=60, conn_health_checks=True)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(WARREN_DATA_DIR / DATABASE),
            "CONN_MAX_AGE": None,
        }
    }
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=134217728; PRAGMA cache_size=-8000;"
        ),
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "pages:fleet"
LOGOUT_REDIRECT_URL = "accounts:sign_in"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "dashboard.accounts.throttle.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_HANDLER = "dashboard.accounts.throttle.ThrottleHandler"
AXES_CLIENT_IP_CALLABLE = "dashboard.accounts.address.client_address"
AXES_DISABLE_ACCESS_LOG = True  # who signed in is in no table that only grows
# Axes stores what a failed try sent; these fields, and `password`, are masked in it.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_SENSITIVE_PARAMETERS += ["old_password", "new_password1", "new_password2"]
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _flag("WARREN_HTTPS", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _flag("WARREN_HTTPS", False) else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Files of the pages. htmx and plotly.js come from their Python packages.
STATIC_URL = "/static/"
STATIC_ROOT = WARREN_DATA_DIR / "static"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("plotly", Path(plotly.__file__).parent / "package_data"),
]
STATICFILES_FINDERS = [
    "dashboard.static_files.NarrowFileSystemFinder",
    "dashboard.static_files.NarrowAppDirectoriesFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.static_files.HashedStorage"},
}
if DEBUG:
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    WHITENOISE_USE_FINDERS = True

# A message's level is named as the callout that shows it.
MESSAGE_TAGS = {
    message_levels.DEBUG: "notice",
    message_levels.INFO: "notice",
    message_levels.SUCCESS: "ok",
    message_levels.WARNING: "warning",
    message_levels.ERROR: "critical",
}

# Tasks
CELERY_BROKER_URL = WARREN_REDIS_URL or "filesystem://localhost"
CELERY_DIR = WARREN_DATA_DIR / "celery"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LANGUAGE_CODE = "en-us"
FORMS_URLFIELD_ASSUME_HTTPS = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "filters": {"once_a_minute": {"()": "dashboard.sparing_log.OnceAMinute"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["once_a_minute"]}},
    "root": {"handlers": ["console"], "level": os.environ.get("WARREN_LOG_LEVEL", "INFO")},
    "loggers": {
        "axes": {"level": "WARNING"},
        # Beat and worker say of each task that it was sent and received.
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
