"""The ASGI application: pages and API over HTTP, live figures over a websocket."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import CookieMiddleware
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

pages = get_asgi_application()

from dashboard.live.routing import websocket_urlpatterns  # noqa: E402 # models can be imported only now

application = ProtocolTypeRouter(
    {
        "http": pages,
        # The socket reads the session's cookie itself, since it must ask again whenever rights change.
        "websocket": AllowedHostsOriginValidator(CookieMiddleware(URLRouter(websocket_urlpatterns))),
    }
)
