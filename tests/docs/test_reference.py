"""The reference in docs/ says what the code says."""

import importlib.util
from pathlib import Path


def test_the_reference_is_made_from_this_code(repository: Path) -> None:
    path = repository / "docs" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        kept = (repository / "docs" / "reference" / name).read_text()
        assert kept == text, f"{name} is old: python docs/make_reference.py"
