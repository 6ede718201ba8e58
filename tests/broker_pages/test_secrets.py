"""Credentials go into the dashboard and never come out of it: not in an answer, not in a log, not in a file."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path

import pytest
import requests

from tests.support import misbehaving
from tests.support.certificates import make_pair
from tests.support.dashboard_server import DashboardServer, sign_in

PASSWORD = "s3cret-password-6a1f"
TYPED = "s3cret-mistyped-90cc"
TOKEN = "s3cret-token-77e2"


def echoes(talk: misbehaving.Talk, request: misbehaving.Request) -> None:
    """A broker, or what stands before it, that gives back whatever it was sent, taken apart too."""
    sent = next(line for line in request.head.splitlines() if line.startswith("Authorization"))
    words = sent.split()[-1]
    apart = base64.b64decode(words).decode() if "Basic" in sent else words
    misbehaving.answers({"error": "bad_request", "reason": f"what is {sent} and {apart}?"}, 500)(talk, request)


class Browser:
    """A signed-in session that keeps every answer it gets."""

    def __init__(self, server: DashboardServer) -> None:
        self.server = server
        self.session = sign_in(server)
        self.answers: list[str] = []

    def get(self, path: str) -> requests.Response:
        return self._keep(self.session.get(self.server.url + path, timeout=30))

    def post(self, path: str, **data: str) -> requests.Response:
        self.get("/settings/brokers/add")
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.answers[-1])[0]
        headers = {"Referer": self.server.url + path}
        body = {**data, "csrfmiddlewaretoken": token}
        return self._keep(self.session.post(self.server.url + path, data=body, headers=headers, timeout=60))

    def _keep(self, answer: requests.Response) -> requests.Response:
        for one in (*answer.history, answer):
            self.answers.append(f"{one.url}\n{one.headers}\n{one.text}")
        return answer


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def secrets_of() -> list[str]:
    """Every form in which a secret could show; the key by a line of its middle."""
    pairs = [f"{user}:{password}" for user in ("watch", "other") for password in (PASSWORD, TYPED)]
    return [PASSWORD, TYPED, TOKEN, *(base64.b64encode(pair.encode()).decode() for pair in pairs)]


def test_it_keeps_credentials_to_itself(dashboard_server: DashboardServer, secrets_of: list[str]) -> None:
    pair = make_pair("warren")
    key = pair.key_pem
    secrets_of.append(key.splitlines()[1])
    with misbehaving.misbehaving(echoes) as broker:
        form = {
            "name": "echo",
            "management_url": broker.url,
            "signs_in": "password",
            "username": "watch",
            "password": PASSWORD,
            "verify_tls": "1",
            "cadence_s": "1",
            "client_cert_pem": pair.cert_pem,
            "client_key_pem": key,
        }
        browser = Browser(dashboard_server)
        added = browser.post("/settings/brokers/add", **form)
        assert added.status_code == 200, added.text[:2000]
        number = re.search(r"/brokers/(\d+)$", added.url)
        assert number, added.url
        own = f"/settings/brokers/{number[1]}"
        by_token = {**form, "name": "by token", "signs_in": "token", "token": TOKEN, "password": ""}
        assert browser.post("/settings/brokers/add", **by_token).status_code == 200
        assert browser.post("/settings/brokers/add", **{**form, "password": TYPED}).status_code == 422
        kept = {**form, "password": "", "client_key_pem": ""}
        tested = browser.post(f"{own}/test", **kept)
        assert "what is" in tested.text
        assert browser.post(f"{own}/test", **{**kept, "password": TYPED, "username": "other"}).status_code == 200
        assert browser.post(own, **{**kept, "cadence_s": "2"}).status_code == 200
        assert browser.post(own, **{**kept, "management_url": "http://127.0.0.1:1"}).status_code == 422
        assert browser.post(own, **{**form, "cadence_s": "no", "password": TYPED}).status_code == 422
        assert browser.post(f"{own}/nowhere", **form).status_code == 404
        end = time.monotonic() + 40
        while "failed to answer" not in browser.get(f"/brokers/{number[1]}").text:
            assert time.monotonic() < end, browser.answers[-1][-3000:]
            time.sleep(0.5)
        for path in (
            "/",
            "/settings/brokers",
            own,
            f"{own}/remove",
            "/settings/collector",
            "/settings/audit",
            "/metrics",
        ):
            browser.get(path)
        api = dashboard_server.api(dashboard_server.token())
        for path in ("brokers", f"brokers/{number[1]}", "openapi.json"):
            browser.answers.append(api.get(f"{dashboard_server.url}/api/v1/{path}", timeout=30).text)
        assert any(secret in request.head for secret in secrets_of for request in broker.requests)
    for secret in secrets_of:
        assert not [answer[:300] for answer in browser.answers if secret in answer], secret
        assert secret not in dashboard_server.log
        found = {name for name, content in written(dashboard_server.data_dir).items() if secret.encode() in content}
        assert not found, (secret, found)
