"""A switch between the dashboard and a broker's management API: off, nobody listens and open connections are cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Switch:
    """Passes connections on to an address; `url` is where to connect instead."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._port = 0
        self._listener = self._listen()
        self.url = f"http://127.0.0.1:{self._port}"

    def off(self) -> None:
        """Cut everything."""
        with suppress(OSError):
            # Closing alone would leave the thread that accepts, and with it the port, open.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def on(self) -> None:
        """Listen at the same port again."""
        self._listener = self._listen()

    close = off

    def _listen(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target, timeout=10)
                far.settimeout(None)
                for here, there in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=[here, there], daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with self._lock:
            self._open.add(here)
        try:
            with suppress(OSError):
                while content := here.recv(65536):
                    there.sendall(content)
        finally:
            with self._lock:
                self._open.discard(here)
            for one in (here, there):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            here.close()
