"""The supervisor's loop: read what the children write, restart those that end, end all when asked to."""

from __future__ import annotations

import http.client
import json
import os
import selectors
import signal
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from dashboard.supervisor.children import Running, reason
from dashboard.supervisor.output import Log
from dashboard.supervisor.plan import Plan

_READ = 64 * 1024
_READY_EVERY_S = 0.25
_LOOK_EVERY_S = 0.2
# So long is waited for what runs beside the dashboard before people are told to come anyway.
_READY_PATIENCE_S = 60
_LAST_AFTER_S = 1.5
# Secrets that only the preparation needed.
_NOT_FOR_CHILDREN = ("WARREN_ADMIN_PASSWORD", "WARREN_BROKERS")


class Supervisor:
    """Keeps the children of a plan running until SIGINT, SIGTERM or SIGHUP."""

    def __init__(self, plan: Plan, log: Log | None = None) -> None:
        self.plan = plan
        self.log = log or Log([child.name for child in plan.children])
        self.running = [Running(child) for child in plan.children]
        self._selector = selectors.DefaultSelector()
        self._environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
        self._environment["PYTHONUNBUFFERED"] = "1"
        self._ending = False
        self._ready = not plan.ready_url
        self._ask_at = 0.0
        self._begun = time.monotonic()

    def run(self) -> int:
        """Start everything and return the exit code once all has ended: 0 when it was asked to end."""
        wake, signalled = os.pipe()
        os.set_blocking(signalled, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(signalled)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ask_to_end())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, None)
        try:
            while not self._ending:
                self._start_due()
                self._look_whether_ready()
                self._read(self._pause())
                self._see_ends()
        finally:
            self._end_all()
            Path(self.plan.status_file).unlink(missing_ok=True)
        return 0

    def _ask_to_end(self) -> None:
        self._ending = True

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [one for one in self.running if one.is_due(now)]
        for one in due:
            output = one.start(self._environment)
            self._selector.register(output, selectors.EVENT_READ, one)
        if due:
            self._write_status()

    def _pause(self) -> float:
        now = time.monotonic()
        moments = [one.due_at for one in self.running if one.due_at is not None and one.due_at > now]
        if any(one.due_at is not None and one.child.after_file for one in self.running):
            moments.append(now + _LOOK_EVERY_S)
        if not self._ready:
            moments.append(self._ask_at)
        # Children's ends arrive as SIGCHLD; the second is for one that was missed.
        return max(0.0, min([1.0, *(moment - now for moment in moments)]))

    def _read(self, seconds: float) -> None:
        for key, _events in self._selector.select(seconds):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
                continue
            self._take(key.fd, key.data)

    def _take(self, descriptor: int, one: Running) -> None:
        """Read what there is from a child's output; at its end stop listening to it."""
        while True:
            try:
                content = os.read(descriptor, _READ)
            except BlockingIOError:
                return
            if not content:
                self._selector.unregister(descriptor)
                self.log.end(one.child.name)
                return
            self.log.feed(one.child.name, content)
            if len(content) < _READ:
                return

    def _see_ends(self) -> None:
        for one in self.running:
            code = one.ended()
            if code is None or self._ending:
                continue
            self._drain(one)
            # What it started must not run beside its successor.
            if one.process is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(one.process.pid, signal.SIGKILL)
            wait = one.plan_restart()
            self.log.say(f"{one.child.name} {reason(code)}; it starts again in {wait:g} s.")

    def _drain(self, one: Running) -> None:
        if one.process is None or one.process.stdout is None:
            return
        descriptor = one.process.stdout.fileno()
        if descriptor in self._selector.get_map():
            self._take(descriptor, one)
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
            self.log.end(one.child.name)

    def _look_whether_ready(self) -> None:
        if self._ready or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + _READY_EVERY_S
        waiting = bool(self.plan.ready_file) and not Path(self.plan.ready_file).exists()
        given_up = time.monotonic() - self._begun > _READY_PATIENCE_S
        self._ready = (not waiting or given_up) and _answers(self.plan.ready_url)
        if self._ready:
            late = ["What runs beside it is not ready yet; its own lines above say why."] if waiting else []
            for line in ["", f"Warren is at {self.plan.address}", *self.plan.welcome, *late, "Ctrl-C ends it.", ""]:
                self.log.say(line)

    def _write_status(self) -> None:
        children = {one.child.name: one.process.pid for one in self.running if one.process is not None}
        path = Path(self.plan.status_file)
        fresh = path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps({"pid": os.getpid(), "address": self.plan.address, "children": children}))
            fresh.replace(path)
        except OSError as error:
            # It tells others who runs here; no reason to end what runs.
            self.log.say(f"{path} could not be written: {error.strerror}.")

    def _end_all(self) -> None:
        """SIGTERM to all at once, SIGKILL to those whose patience ran out; their last lines are still read."""
        self.log.say("Ending.")
        begun = time.monotonic()
        waiting = [one for one in self.running if one.child.ends_last]
        for one in self.running:
            if one not in waiting:
                one.send(signal.SIGTERM)
        while alive := [one for one in self.running if one.process is not None and one.ended() is None]:
            self._read(0.05)
            passed = time.monotonic() - begun
            if waiting and (passed > _LAST_AFTER_S or all(one in waiting for one in alive)):
                for one in waiting:
                    one.send(signal.SIGTERM)
                waiting = []
            for one in alive:
                if passed > one.child.patience_s:
                    one.send(signal.SIGKILL)
        for one in self.running:
            self._drain(one)
            if one.process is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(one.process.pid, signal.SIGKILL)
        self.log.say(f"Ended after {time.monotonic() - begun:.1f} s.")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    # Not urllib.request: it would ask a proxy that the environment names.
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=0.5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
