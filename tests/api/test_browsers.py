"""What browsers are told, which hosts are served, and who may look behind."""

import re
import threading

import httpx
import pytest
from http_clients import Connect, refused
from worker_deployment import Deployment

from ptsys.errors import Conflict, PtsysError


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_load_from_the_service_alone(ann: httpx.Client, path: str) -> None:
    page = ann.get(path)
    assert page.status_code == 200
    assert "http:" not in page.text
    assert "https:" not in page.text
    loaded = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
    assert len(loaded) >= 3
    for name in loaded:
        found = ann.get(f"/{name}")
        assert found.status_code == 200, name
        assert found.headers["X-Content-Type-Options"] == "nosniff"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "<script>" not in page.text
    assert ann.get("/docs/files/none.js").status_code == 404
    assert ann.get("/docs/files/..%2Fcore.py").status_code == 404


def test_every_answer_says_what_browsers_may_do(ann: httpx.Client) -> None:
    for path in ("/v1/me", "/v1/none", "/none", "/healthz", "/metrics", "/openapi.json", "/docs"):
        for method in ("GET", "PUT"):
            headers = ann.request(method, path).headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["X-Frame-Options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_other_hosts_are_not_served(connect: Connect) -> None:
    ann = connect("ann", allowed_hosts="api.example.org, *.inner.example")
    for host in ("api.example.org", "API.example.org:8765", "a.inner.example"):
        assert ann.get("/v1/me", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "inner.example", "api.example.org.evil.example", "127.0.0.1", ""):
        refused(ann.get("/v1/me", headers={"Host": host}), 421)
        assert ann.get("/healthz", headers={"Host": host}).status_code == 200


def test_metrics_can_be_closed(connect: Connect) -> None:
    assert connect("ann", metrics="open").get("/metrics").status_code == 200
    refused(connect("ann", metrics="closed").get("/metrics"), 404)
    assert connect("root", role="admin", metrics="admins").get("/metrics").status_code == 200
    ann = connect("ann", metrics="admins")
    refused(ann.get("/metrics"), 403)
    del ann.headers["Authorization"]
    refused(ann.get("/metrics"), 401)


def test_the_last_admin_key_stays(connect: Connect, deployment: Deployment) -> None:
    admin = connect("root", role="admin")
    mine = admin.get("/v1/me").json()["key"]
    keys = deployment.service.keys
    others = [key.id for key in keys.list(limit=1000) if key.role == "admin" and key.id != mine]
    for other in others:
        admin.delete(f"/v1/keys/{other}")
    refused(admin.delete(f"/v1/keys/{mine}"), 409)
    assert admin.get("/v1/me").status_code == 200
    second = admin.post("/v1/keys", json={"user": "root", "role": "admin"}).json()["id"]
    errors: list[PtsysError] = []

    def revoke(key: str) -> None:
        try:
            keys.revoke(key, keep_an_admin=True)
        except Conflict as error:
            errors.append(error)

    both = [threading.Thread(target=revoke, args=(key,)) for key in (mine, second)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert len(errors) == 1
