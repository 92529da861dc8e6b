import gzip

import httpx
import pytest
from http_clients import JSONL, ROWS, Connect, add_rows, refused


def test_rows_go_in_and_come_out(ann: httpx.Client) -> None:
    made = add_rows(ann, "rows-1", description="two rows")
    assert made.status_code == 201, made.text
    dataset = made.json()
    assert (dataset["rows"], dataset["visibility"], dataset["owner"]) == (2, "private", "ann")
    assert made.headers["location"] == f"/v1/datasets/{dataset['id']}"
    for reference in ("rows-1", dataset["id"]):
        assert ann.get(f"/v1/datasets/{reference}").json() == dataset
    rows = ann.get("/v1/datasets/rows-1/rows")
    assert rows.headers["content-type"].startswith(JSONL)
    assert len(rows.text.splitlines()) == 2
    again = add_rows(ann, "rows-1b", rows.content)
    assert again.json()["digest"] == dataset["digest"]
    refused(add_rows(ann, "rows-1"), 409)
    assert ann.delete("/v1/datasets/rows-1").status_code == 204
    refused(ann.get("/v1/datasets/rows-1"), 404)


def test_pages_hold_everything_once(connect: Connect) -> None:
    pat = connect("pat")
    made = [add_rows(pat, f"page-{i}").json()["id"] for i in range(5)]
    seen, following = [], None
    while True:
        query = {"limit": 2, "owner": "pat", **({"before": following} if following else {})}
        page = pat.get("/v1/datasets", params=query).json()
        seen += [dataset["id"] for dataset in page["data"]]
        following = page["next"]
        if following is None:
            break
    assert seen == made[::-1]
    [one] = pat.get("/v1/datasets", params={"name": "page-3"}).json()["data"]
    assert one["id"] == made[3]


def test_who_may_see_it(ann: httpx.Client, bob: httpx.Client, connect: Connect) -> None:
    eve = connect("eve")
    identifier = add_rows(ann, "seen").json()["id"]
    for other in (bob, eve):
        refused(other.get(f"/v1/datasets/{identifier}"), 404)
        refused(other.get(f"/v1/datasets/{identifier}/rows"), 404)
        refused(other.patch(f"/v1/datasets/{identifier}", json={"visibility": "public"}), 404)
        refused(other.delete(f"/v1/datasets/{identifier}"), 404)
    shared = {"visibility": "shared", "shared_with": ["bob"]}
    assert ann.patch("/v1/datasets/seen", json=shared).json()["shared_with"] == ["bob"]
    assert bob.get(f"/v1/datasets/{identifier}/rows").status_code == 200
    assert bob.get(f"/v1/datasets/{identifier}").json()["shared_with"] == []
    refused(eve.get(f"/v1/datasets/{identifier}"), 404)
    assert ann.patch("/v1/datasets/seen", json={"visibility": "public"}).status_code == 200
    assert eve.get(f"/v1/datasets/{identifier}").status_code == 200
    refused(eve.delete(f"/v1/datasets/{identifier}"), 404)
    ann.patch("/v1/datasets/seen", json={"visibility": "private"})
    refused(bob.get(f"/v1/datasets/{identifier}"), 404)
    wrong = {"visibility": "private", "shared_with": ["bob"]}
    refused(ann.patch("/v1/datasets/seen", json=wrong), 422, "shared_with")


def test_a_zipped_body_is_unzipped(ann: httpx.Client) -> None:
    response = ann.post(
        "/v1/datasets",
        params={"name": "zipped"},
        content=gzip.compress(ROWS),
        headers={"Content-Type": JSONL, "Content-Encoding": "gzip"},
    )
    assert response.json()["rows"] == 2


def test_long_answers_are_zipped(ann: httpx.Client) -> None:
    add_rows(ann, "long", ROWS * 200)
    path = "/v1/datasets/long/rows"
    assert ann.get(path).headers["content-encoding"] == "gzip"
    plain = ann.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "rows",
    [
        b"",
        b"\n\n",
        b"not json",
        b'{"target": "a"}',
        b'{"input": "a", "target": ""}',
        b'{"input": 1, "target": "x"}',
        b'{"input": "a", "target": "x", "more": 1}',
        b'{"input": "\xff\xfe", "target": "x"}',
        b'{"input": "\\u0000", "target": "x"}',
        b'{"input": "\\ud800", "target": "x"}',
        b"[" * 100_000,
        b'{"input": ' + b"9" * 10_000 + b', "target": "x"}',
    ],
    ids=range(12),
)
def test_wrong_rows_are_refused(ann: httpx.Client, rows: bytes) -> None:
    refused(add_rows(ann, "wrong", rows), 422)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "a/b", ".hidden", "a\0b", "x" * 101, "' OR 1=1 --", "naïve"]
)
def test_names_that_are_none_are_refused(ann: httpx.Client, name: str) -> None:
    refused(add_rows(ann, name), 422, "name")


def test_another_kind_of_body_is_refused(ann: httpx.Client) -> None:
    for kind in ("text/plain", "multipart/form-data", ""):
        response = ann.post(
            "/v1/datasets",
            params={"name": "kind"},
            content=ROWS,
            headers={"Content-Type": kind},
        )
        refused(response, 415)
