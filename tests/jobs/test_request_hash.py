"""A submission that is sent again is known, also across an upgrade."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import update

from ptsys.errors import Conflict
from ptsys.jobs.request_hash import known_hashes, request_hash
from ptsys.jobs.service import Service
from ptsys.store.tables import IdempotencyRow
from ptsys.types.specs import AnySpec, Spec
from ptsys.types.training import JobSpec, TrainingSpec
from ptsys.types.writing import WriteSpec

BODIES: dict[str, dict[str, Any]] = {
    "train": {"name": "p", "dataset": "reviews"},
    "train, all said": {
        "name": "p",
        "dataset": "ann/reviews",
        "validation": "reviews",
        "steps": 7,
        "optimizer": {"kind": "adamw", "learning_rate": 1e-5, "beta2": 0.95},
        "initialization": {"kind": "labels", "labels": ["größer", "kleiner"]},
        "max_input_length": 64,
        "tags": ["ä", "b"],
    },
    "multitask": {"name": "m", "tasks": [{"name": "a", "dataset": "reviews"}]},
    "multitask, all said": {
        "kind": "multitask",
        "name": "m",
        "tasks": [
            {"name": "a", "dataset": "x", "rate": 2},
            {"name": "b", "dataset": "y", "validation": "z", "rate": 0.5},
        ],
        "combination": "affine",
        "combined_length": 9,
        "affine_learning_rate": 1e-5,
        "mixing": "rates",
        "optimizer": {"kind": "sgd", "learning_rate": 1e2},
    },
    "augment": {"kind": "augment", "name": "few", "dataset": "reviews"},
    "augment, all said": {
        "kind": "augment",
        "name": "few",
        "dataset": "reviews",
        "validation": "held",
        "query": "ann/first",
        "strategy": "curriculum",
        "minimum_similarity": -0.25,
        "own_learning_rate": 1e-7,
        "tags": ["ä"],
    },
    "deep": {"name": "p", "dataset": "reviews", "prompt_kind": "deep"},
    "write": {"kind": "write", "name": "w", "dataset": "words"},
    "write, all said": {
        "kind": "write",
        "name": "w",
        "dataset": "words",
        "meta_prompt": "ann/letters",
        "aggregate": "mean",
        "examples": 4,
        "steps": 7,
        "tags": ["ä"],
    },
}

BEFORE = {
    "train": "a0a75249e029587644461fd7d7d7173ad1bb71045c44fc18557a82a9b6fe0c93",
    "train, all said": "13e386a36559959a2cf9e79ca43b5e9792d3834f2465e67dd50cafed8038a014",
    "multitask": "f35f92aceac0079b3f1a977e732f2d433fb70888ca50cc41cf10e909aefa6df8",
    "multitask, all said": "84af8645a78065b18b5d997baf5f33fe6741aeb74992afe195c69508147c9c39",
    "augment": "24806dfd06f59e1001dadb0a3adbebe402f07c38169ef35982bfe0b6d35ab411",
    "augment, all said": "734904a2778edc2f224f716e6dafc5ded74666feb4b4ad6ee01a52bd33f91135",
}
"""Of these bodies, as the version of 28 November 2026 at 05:30 recorded them."""

BETWEEN = {
    "train": "2500874caf7d434fea1e4a0826c3c0bb56025ed542f6cf32c5d6d861134528ef",
    "train, all said": "8b36c720648900ea1c30b995beb8583a43d8bdfaebbac083a966a5b95420141e",
    "multitask": "6c0ddd23e38def1936777f3c54c757fd2cd2dd4727ccfea98515ce026018db36",
    "multitask, all said": "b3920aec7a83a6c3d17a53107cbd62a57d902d2cf1d21b0e73404581bca3f015",
    "augment": "39e742a7709b511a8ee909262a76f8d8bcdfe4f6f65bb2360cecbfb2e73816dd",
    "augment, all said": "66f34c6c25fa95b858a5151b48362b008e822458872f63644fc11626b6ce5321",
    "deep": "0541a24f68673488dc9117ade91be1081a478730f4d807f87410c1830301f506",
}
"""As the versions between that one and the first that hashes by name did."""

BY_NAME = {
    "write": "908fc7fe90df8aee94e86ebb7cb06f072222aa2efa178c31058ad04104d0332e",
    "write, all said": "6f050be80d6811abd610d65bcc3ca73a7b6e93e47b8d51905c91bdd9b231c862",
}
"""As the first version that hashes by name recorded: these then had all fields of learning jobs."""


def spec_of(body: dict[str, Any]) -> AnySpec:
    spec: AnySpec = TypeAdapter(Spec).validate_python(body)
    return spec


@pytest.mark.parametrize(
    "recorded", [BEFORE, BETWEEN, BY_NAME], ids=["before", "between", "by name"]
)
def test_what_earlier_versions_recorded_is_known(recorded: dict[str, str]) -> None:
    specs = {name: spec_of(BODIES[name]) for name in recorded}
    for name, spec in specs.items():
        knows = {other for other in specs if recorded[other] in known_hashes(spec)}
        assert knows == {name}


def test_neither_the_order_of_fields_nor_defaults_count() -> None:
    body = BODIES["train, all said"]
    spec = spec_of(body)
    said = spec_of({**spec.model_dump(mode="json"), "truncate": False, "prompt_kind": "tokens"})
    turned = spec_of(dict(reversed(body.items())))
    assert request_hash(spec) == request_hash(said) == request_hash(turned)


def test_a_job_that_writes_knows_nothing_of_learning_but_its_defaults() -> None:
    body = BODIES["write"]
    learning = set(JobSpec.model_fields) - set(WriteSpec.model_fields)
    assert learning == {
        *("length", "batch_size", "optimizer", "initialization", "seed", "max_input_length"),
        *("evaluate_every", "checkpoint_every"),
    }
    shown = set(WriteSpec.model_json_schema()["properties"])
    assert not shown & (learning | {"steps"})
    once = JobSpec(name="w").model_dump(mode="json", include=learning)
    assert spec_of(body | once) == spec_of(body)
    for field, value in (("seed", 3), ("optimizer", {"kind": "sgd"}), ("length", "long")):
        with pytest.raises(ValidationError) as refused:
            spec_of(body | once | {field: value})
        [error] = refused.value.errors()
        assert (error["type"], error["loc"]) == ("extra_forbidden", (field,))


def test_what_is_asked_for_counts() -> None:
    hashes = {request_hash(spec_of(body)) for body in BODIES.values()}
    assert len(hashes) == len(BODIES)
    base = BODIES["train, all said"]
    for change in ({"steps": 8}, {"validation": None}, {"tags": ["b", "ä"]}, {"name": "q"}):
        assert request_hash(spec_of(base | change)) not in hashes
        assert not known_hashes(spec_of(base | change)) & known_hashes(spec_of(base))


@pytest.mark.parametrize("recorded", [BEFORE, BETWEEN], ids=["before", "between"])
def test_a_key_of_an_earlier_version_gives_its_job(
    service: Service, spec: TrainingSpec, recorded: dict[str, str]
) -> None:
    job = service.submit(spec, "ann", idempotency_key="k")
    assert spec == spec_of(BODIES["train"])
    with service.database.session() as session:
        session.execute(update(IdempotencyRow).values(request=recorded["train"]))
    assert service.submit(spec, "ann", idempotency_key="k").id == job.id
    with pytest.raises(Conflict, match="new key"):
        service.submit(spec.model_copy(update={"steps": 1}), "ann", idempotency_key="k")
