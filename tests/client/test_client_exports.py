import subprocess
import sys

import ptsys
import ptsys.client

HEAVY = ("jax", "flax", "optax", "orbax", "sqlalchemy", "celery", "redis", "etils", "fastapi")


def test_the_public_names() -> None:
    assert ptsys.Client is ptsys.client.Client
    assert sorted(ptsys.client.__all__) == [
        "Affine",
        "AugmentSpec",
        "BatchOrder",
        "Client",
        "Decoding",
        "Example",
        "Found",
        "Gradients",
        "Initialization",
        "JobHandle",
        "MetaPrompt",
        "MultiTaskSpec",
        "Optimizer",
        "Prediction",
        "Retries",
        "Selection",
        "ServedModel",
        "SplitGradient",
        "TaskSpec",
        "TrainingSpec",
        "WriteSpec",
        "combine",
        "read_rows",
        "split_gradient",
    ]


def test_the_client_needs_nothing_heavy() -> None:
    """And `import ptsys` alone not even the client."""
    code = (
        "import sys, ptsys; assert 'ptsys.client' not in sys.modules; ptsys.Client; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
