import io
import json
import struct
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from http_clients import MODEL, SAFETENSORS, WIDTH, Connect, refused, upload
from worker_deployment import Deployment

from ptsys.api.archives import unzipped_adapter
from ptsys.errors import InvalidInput
from ptsys.prompts.formats import read_prompt
from ptsys.prompts.multitask import Affine, TaskPart
from ptsys.prompts.npy_format import encode as encode_npy
from ptsys.prompts.safetensors_format import decode, encode
from ptsys.prompts.storage import load_tree, save_tree

NPY = "application/x-npy"
FINE = np.ones((2, WIDTH), np.float32)


@pytest.mark.parametrize("kind", [SAFETENSORS, NPY, "application/json"])
def test_a_tensor_comes_back_as_it_went_in(
    ann: httpx.Client, deployment: Deployment, prompt: np.ndarray, kind: str
) -> None:
    name = f"back-{kind[-3:]}"
    body = {
        SAFETENSORS: encode(prompt),
        NPY: encode_npy(prompt),
        "application/json": json.dumps({"tensor": prompt.tolist()}).encode(),
    }[kind]
    made = ann.post(
        "/v1/prompts",
        params={"name": name, "model": MODEL, "tags": ["b", "a"]},
        content=body,
        headers={"Content-Type": kind},
    )
    assert made.status_code == 201, made.text
    record = made.json()
    assert (record["length"], record["d_model"], record["tags"]) == (6, WIDTH, ["a", "b"])
    stored = load_tree(deployment.service.prompts.tensor_path(record["id"]))["prompt"]
    np.testing.assert_array_equal(stored, prompt)
    path = f"/v1/prompts/{name}/tensor"
    binary = ann.get(path)
    assert binary.headers["content-type"] == SAFETENSORS
    array, notes = decode(binary.content)
    np.testing.assert_array_equal(array, prompt)
    assert notes["model"] == MODEL
    npy = ann.get(path, headers={"Accept": NPY})
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), prompt)
    rows = ann.get(path, headers={"Accept": "text/html;q=0.5, application/json"}).json()["tensor"]
    np.testing.assert_array_equal(np.array(rows, np.float32), prompt)
    refused(ann.get(path, headers={"Accept": "text/html"}), 406)


def test_metadata_may_change(ann: httpx.Client) -> None:
    first = upload(ann, "old", FINE).json()
    changed = ann.patch(
        "/v1/prompts/old", json={"name": "new", "visibility": "public", "tags": ["x"]}
    ).json()
    assert changed == first | {"name": "new", "visibility": "public", "tags": ["x"]}
    refused(ann.get("/v1/prompts/old"), 404)
    upload(ann, "third", FINE)
    refused(ann.patch("/v1/prompts/third", json={"name": "new"}), 409)
    refused(ann.patch("/v1/prompts/new", json={"owner": "bob"}), 422, "owner")
    refused(ann.patch("/v1/prompts/new", json={"name": "../x"}), 422, "name")


def test_who_may_see_it(ann: httpx.Client, bob: httpx.Client, connect: Connect) -> None:
    eve = connect("eve")
    identifier = upload(ann, "mine", FINE).json()["id"]
    for other in (bob, eve):
        for path in ("", "/tensor"):
            refused(other.get(f"/v1/prompts/{identifier}{path}"), 404)
        refused(other.patch(f"/v1/prompts/{identifier}", json={"tags": []}), 404)
        refused(other.delete(f"/v1/prompts/{identifier}"), 404)
        owned = other.get("/v1/prompts", params={"owner": "ann"}).json()["data"]
        assert identifier not in [found["id"] for found in owned]
    ann.patch("/v1/prompts/mine", json={"visibility": "shared", "shared_with": ["bob"]})
    assert bob.get(f"/v1/prompts/{identifier}/tensor").status_code == 200
    refused(eve.get(f"/v1/prompts/{identifier}/tensor"), 404)
    [found] = bob.get("/v1/prompts", params={"owner": "ann", "name": "mine"}).json()["data"]
    assert found["id"] == identifier
    assert ann.delete("/v1/prompts/mine").status_code == 204
    refused(bob.get(f"/v1/prompts/{identifier}"), 404)


def _lying(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


HOSTILE = {
    "nothing": b"",
    "short": b"\x01",
    "text": b"hello, this is no tensor",
    "header longer than the file": struct.pack("<Q", 2**62) + b"{}",
    "data that is not there": _lying(
        b'{"prompt":{"dtype":"F32","shape":[1000,1000],"data_offsets":[0,4000000]}}'
    ),
    "offsets that overlap": _lying(
        b'{"prompt":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},'
        b'"b":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}',
        b"\0" * 4,
    ),
    "offsets that go backwards": _lying(
        b'{"prompt":{"dtype":"F32","shape":[1,1],"data_offsets":[4,0]}}', b"\0" * 4
    ),
    "shape of another size": _lying(
        b'{"prompt":{"dtype":"F32","shape":[9,9],"data_offsets":[0,4]}}', b"\0" * 4
    ),
    "shape that overflows": _lying(
        b'{"prompt":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}',
        b"\0" * 4,
    ),
    "deep header": _lying(b"[" * 50_000),
    "header that is not UTF-8": _lying(b"\xff\xfe{}"),
    "another tensor": encode(FINE, tensor="weights"),
    "integers": _lying(b'{"prompt":{"dtype":"I32","shape":[1,1],"data_offsets":[0,4]}}', b"\0" * 4),
    "one axis": _lying(b'{"prompt":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
    "three axes": _lying(
        b'{"prompt":{"dtype":"F32","shape":[1,1,1],"data_offsets":[0,4]}}', b"\0" * 4
    ),
    "no rows": encode(np.zeros((0, WIDTH), np.float32)),
    "no columns": encode(np.zeros((3, 0), np.float32)),
    "another width": encode(np.zeros((3, WIDTH + 1), np.float32)),
    "too long": encode(np.zeros((1025, WIDTH), np.float32)),
    "NaN": encode(np.full((3, WIDTH), np.nan, np.float32)),
    "infinity": encode(np.full((3, WIDTH), np.inf, np.float32)),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tensors_are_refused(
    ann: httpx.Client, deployment: Deployment, body: bytes
) -> None:
    folder = deployment.root / "prompts"
    before = sorted(folder.iterdir()) if folder.exists() else []
    response = ann.post(
        "/v1/prompts",
        params={"name": "hostile", "model": MODEL},
        content=body,
        headers={"Content-Type": SAFETENSORS},
    )
    refused(response, 422, "prompt")
    assert (sorted(folder.iterdir()) if folder.exists() else []) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"tensor": null}',
        b'{"tensor": []}',
        b'{"tensor": [[]]}',
        b'{"tensor": [1, 2]}',
        b'{"tensor": [["a"]]}',
        b'{"tensor": [[1], [1, 2]]}',
        b'{"tensor": [[NaN]]}',
        b'{"tensor": [[1e400]]}',
        b'{"tensor": [[1]], "more": 1}',
        b'{"tensor": ' + b"[" * 100_000,
        b'{"tensor": [[' + b"9" * 5000 + b"]]}",
        b"\xff\xfe",
    ],
)
def test_hostile_json_is_refused(ann: httpx.Client, body: bytes) -> None:
    response = ann.post(
        "/v1/prompts",
        params={"name": "hostile", "model": MODEL},
        content=body,
        headers={"Content-Type": "application/json"},
    )
    refused(response, 422)


def test_pickled_arrays_are_not_read(ann: httpx.Client) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([[object()]]), allow_pickle=True)
    response = ann.post(
        "/v1/prompts",
        params={"name": "pickle", "model": MODEL},
        content=buffer.getvalue(),
        headers={"Content-Type": NPY},
    )
    refused(response, 422, "prompt")


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "", "..", "a\0", "Robert'); DROP TABLE prompts"]
)
def test_names_that_are_none_are_refused(ann: httpx.Client, name: str) -> None:
    refused(upload(ann, name, FINE), 422, "name")


@pytest.mark.parametrize("model", ["none", "../../etc", "", "a\0b", "mini/../mini"])
def test_unknown_models_are_refused(ann: httpx.Client, model: str) -> None:
    refused(upload(ann, "model", FINE, model=model), 422, "model")


@pytest.mark.parametrize("reference", ["..%2F..%2Fetc", "%00", "none", "' OR '1'='1", "%ff%fe"])
def test_references_that_lead_nowhere(ann: httpx.Client, reference: str) -> None:
    for path in (f"/v1/prompts/{reference}", f"/v1/datasets/{reference}", f"/v1/jobs/{reference}"):
        response = ann.get(path)
        assert response.status_code in (404, 422), response.text
        assert response.headers["content-type"] == "application/problem+json"


def test_a_task_specific_prompt_comes_plain_or_combined(
    deployment: Deployment, ann: httpx.Client, bob: httpx.Client, prompt: np.ndarray
) -> None:
    """Its record and tensors as a multi-task job leaves them."""
    general = upload(ann, "shared", prompt).json()
    upload(ann, "shared-2", 2 * prompt)
    upload(ann, "short", prompt[:3])
    prompts, draw = deployment.service.prompts, np.random.default_rng(3)
    affine = Affine(draw.normal(size=(4, 8)), draw.normal(size=(4, WIDTH)))
    parts = {"both": TaskPart(prompt[:2], affine), "bare": TaskPart(None, affine)}
    parts["bare"] = TaskPart(None, Affine(affine.matrix[:, :6], affine.bias))
    for name, part in parts.items():
        record = prompts.read(general["id"]).model_copy(
            update={
                **{"id": prompts.new_id(), "name": f"shared.{name}", "task": name},
                **{"general": general["id"], "combination": "affine"},
                "length": 0 if part.rows is None else 2,
            }
        )
        save_tree(prompts.tensor_path(record.id), part.arrays)
        prompts.add(record)

    def tensor(name: str, client: httpx.Client = ann, **query: str) -> httpx.Response:
        return client.get(f"/v1/prompts/{name}/tensor", params=query)

    def array(response: httpx.Response) -> np.ndarray:
        assert response.status_code == 200, response.text
        return decode(response.content)[0]

    np.testing.assert_array_equal(array(tensor("shared.both")), prompt[:2])
    for name, part in parts.items():
        for query, rows in (
            ({"combined": "true"}, prompt),
            ({"general": "shared-2"}, 2 * prompt),
        ):
            wanted = part.with_general(rows, "affine")
            np.testing.assert_allclose(
                array(tensor(f"shared.{name}", **query)), wanted, rtol=1e-6, atol=1e-6
            )
    np.testing.assert_array_equal(array(tensor("shared", combined="true")), prompt)
    refused(tensor("shared.bare"), 422, "combined")
    refused(tensor("shared.both", general="short"), 422, "general")
    refused(tensor("shared", general="short"), 422, "general")
    refused(tensor("shared.both", general="nope"), 404)
    shared = {"visibility": "shared", "shared_with": ["bob"]}
    task = ann.patch("/v1/prompts/shared.both", json=shared).json()
    np.testing.assert_array_equal(array(tensor(task["id"], bob)), prompt[:2])
    assert general["id"] in refused(tensor(task["id"], bob, combined="true"), 404)["detail"]
    assert "shared.both" in refused(ann.delete("/v1/prompts/shared"), 409)["detail"]


PEFT, ORBAX = "application/x-peft+zip", "application/x-orbax+zip"


def test_an_adapter_folder_goes_out_and_comes_back(
    ann: httpx.Client, prompt: np.ndarray, tmp_path: Path
) -> None:
    upload(ann, "folders", prompt)
    adapter = ann.get("/v1/prompts/folders/tensor", headers={"Accept": PEFT})
    assert adapter.headers["content-type"] == PEFT
    with zipfile.ZipFile(io.BytesIO(adapter.content)) as archive:
        archive.extractall(tmp_path / "adapter")
    np.testing.assert_array_equal(read_prompt(tmp_path / "adapter"), prompt)
    nested = io.BytesIO()  # as if somebody had zipped the folder itself
    with zipfile.ZipFile(nested, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (tmp_path / "adapter").iterdir():
            archive.write(path, f"adapter/{path.name}")
    for name, content in (("again", adapter.content), ("nested", nested.getvalue())):
        added = ann.post(
            "/v1/prompts",
            params={"name": name, "model": MODEL},
            content=content,
            headers={"Content-Type": PEFT},
        )
        assert added.status_code == 201, added.text
        back = ann.get(f"/v1/prompts/{name}/tensor")
        np.testing.assert_array_equal(decode(back.content)[0], prompt)


def test_orbax_restores_the_checkpoint_that_is_sent(
    ann: httpx.Client, prompt: np.ndarray, tmp_path: Path
) -> None:
    upload(ann, "checkpoint", prompt)
    sent = ann.get("/v1/prompts/checkpoint/tensor", headers={"Accept": ORBAX})
    with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
        archive.extractall(tmp_path / "checkpoint")
    np.testing.assert_array_equal(load_tree(tmp_path / "checkpoint")["prompt"], prompt)


def _zip(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _torn(archive: bytes) -> bytes:
    """The archive with its first file's compressed bytes overwritten."""
    start = archive.index(b"json") + len(b"json")
    return archive[:start] + b"\xff" * 8 + archive[start + 8 :]


CONFIG = {"adapter_config.json": b'{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}'}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"PK\x03\x04 not really", "prompt"),
        (b"", "prompt"),
        (_zip(), "adapter_config.json"),
        (_torn(_zip(**{"adapter_config.json": b"{}" * 500})), "prompt"),
        (_zip(**CONFIG), "adapter_model.safetensors"),
        (_zip(**CONFIG, **{"../adapter_model.safetensors": b"x"}), "prompt_embeddings"),
        (_zip(**CONFIG, **{"a/adapter_config.json": b"{}"}), "adapter_config.json"),
    ],
    ids=["no zip", "empty", "no files", "no deflate", "half", "path", "twice"],
)
def test_a_hostile_archive_is_refused(ann: httpx.Client, content: bytes, field: str) -> None:
    answer = ann.post(
        "/v1/prompts",
        params={"name": "hostile", "model": MODEL},
        content=content,
        headers={"Content-Type": PEFT},
    )
    refused(answer, 422, field)


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptsys.api.archives.MAX_BYTES", 2**20)
    bomb = _zip(**CONFIG, **{"adapter_model.safetensors": bytes(2**24)})
    assert len(bomb) < 2**16
    with pytest.raises(InvalidInput) as caught:
        unzipped_adapter(bomb)
    assert caught.value.field == "adapter_model.safetensors"


def test_a_damaged_tensor_is_the_same_answer_for_good_everywhere(
    ann: httpx.Client, deployment: Deployment, worker: Deployment, prompt: np.ndarray
) -> None:
    made = ann.post(f"/v1/prompts?name=torn&model={MODEL}", json={"tensor": prompt.tolist()}).json()
    folder = Path(deployment.service.prompts.tensor_path(made["id"]))
    for path in [path for path in folder.rglob("*") if path.is_file() and "manifest" in path.name]:
        path.write_bytes(b"torn")
    asked = {"prompt": "torn", "model": MODEL, "inputs": ["a"]}
    answers = [
        ann.get("/v1/prompts/torn/tensor"),
        ann.post("/v1/predict", json=asked),
        ann.post("/v1/gradients", json={**asked, "targets": ["b"]}),
    ]
    for answer in answers:
        assert answer.status_code == 410, answer.text
        assert "Retry-After" not in answer.headers
        assert "damaged" in answer.json()["detail"]
        assert str(deployment.root) not in answer.text
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert ann.delete("/v1/prompts/torn").status_code == 204
