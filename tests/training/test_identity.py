"""What a checkpoint belongs to, also one that an earlier version wrote."""

from ptsys.training.identity import Identity
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.specs import AnySpec
from ptsys.types.training import Optimizer, TrainingSpec

SPEC = TrainingSpec(name="reviews", model="tiny", dataset="ds-1", steps=7, checkpoint_every=5)
TOGETHER = MultiTaskSpec(
    name="m",
    mixing="rates",
    tasks=(TaskSpec(name="a", dataset="1", rate=2), TaskSpec(name="b", dataset="2", rate=1)),
)


def of(spec: AnySpec = SPEC, *digests: str, **fields: dict[str, float]) -> Identity:
    return Identity(spec, digests or ("d1",), "f" * 16, **fields)


def test_it_owns_what_it_notes() -> None:
    for identity in (of(), of(TOGETHER, "d1", "d2"), of(SPEC, rates={"a": 0.25, "b": 0.75})):
        assert identity.owns(identity.json())


def test_a_field_that_is_new_does_not_part_a_training_from_its_checkpoints() -> None:
    noted = of().json()["spec"]
    assert noted["steps"] == 7
    assert "evaluate_every" not in noted  # as if this version had just got it


def test_what_leads_elsewhere_parts_them() -> None:
    noted = of().json()
    changes = {"optimizer": Optimizer(kind="sgd", learning_rate=0.5), "seed": 1, "length": 3}
    for field, value in changes.items():
        assert not of(SPEC.model_copy(update={field: value})).owns(noted), field
    assert not of(SPEC, "d2").owns(noted)
    assert not of(rates={"a": 1.0}).owns(noted)
    assert not Identity(SPEC, ("d1",), "0" * 16).owns(noted)
    assert not of(TOGETHER, "d2", "d1").owns(of(TOGETHER, "d1", "d2").json())
    for damaged in (None, [], {}, {**noted, "spec": None}, {**noted, "settings": None, "spec": []}):
        assert not of().owns(damaged)


def test_how_often_it_is_kept_and_scored_does_not() -> None:
    often = SPEC.model_copy(update={"checkpoint_every": 1, "evaluate_every": 1, "tags": ("x",)})
    assert of(often).owns(of().json())


def test_what_a_job_of_the_version_before_noted_is_its_own() -> None:
    """And the other way: a job may go back to a worker that is not upgraded yet."""
    spec = SPEC.model_dump(mode="json", exclude={"kind", "tags", "truncate"}, exclude_defaults=True)
    before = {"spec": spec, "dataset": "d1", "fingerprint": "f" * 16}
    assert of().owns(before)
    assert of().json() == before
    spec = TOGETHER.model_dump(
        mode="json", exclude={"kind", "tags", "truncate"}, exclude_defaults=True
    )
    before = {"spec": spec, "datasets": ["d1", "d2"], "fingerprint": "f" * 16}
    assert of(TOGETHER, "d1", "d2").json() == before


def test_what_runs_of_the_version_before_noted_is_theirs() -> None:
    single = {
        "spec": SPEC.model_dump(
            mode="json", exclude={"checkpoint_every", "evaluate_every", "truncate"}
        ),
        "settings": {"steps": 7, "rates": {"a": 0.25, "b": 0.75}},
        "dataset": "d1",
        "fingerprint": "f" * 16,
    }
    assert of(rates={"a": 0.25, "b": 0.75}).owns(single)
    assert not of(rates={"a": 0.5, "b": 0.5}).owns(single)
    assert not of().owns(single)
    together = {
        "spec": TOGETHER.model_dump(
            mode="json", exclude={"checkpoint_every", "evaluate_every", "tags", "truncate"}
        ),
        "datasets": ["d1", "d2"],
        "fingerprint": "f" * 16,
    }
    assert of(TOGETHER, "d1", "d2").owns(together)
