"""Addresses of websockets."""

from __future__ import annotations

from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from dashboard.live.socket import live_socket

websocket_urlpatterns = [
    path("ws/live", live_socket),  # type: ignore[arg-type] # Channels routes ASGI applications
    re_path(r"", WebsocketDenier.as_asgi()),
]
