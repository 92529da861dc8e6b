from pathlib import Path

import pytest
from programs import Program, find


@pytest.fixture(scope="session")
def program() -> Program:
    """Finds a program by its name, or skips."""
    return find


@pytest.fixture(scope="session")
def deploy_folder(repository: Path) -> Path:
    return repository / "deploy"
