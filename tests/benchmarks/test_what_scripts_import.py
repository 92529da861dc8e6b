"""Scripts that no test runs still find what they import of ptsys."""

import ast
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = [
    path
    for folder in ("benchmarks", "deploy", "docs")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


@pytest.mark.parametrize(
    "script", SCRIPTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
def test_a_script_finds_what_it_imports(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ptsys":
            module = importlib.import_module(node.module or "")
            for name in (alias.name for alias in node.names):
                known = hasattr(module, name)
                if not known:  # a module of a package
                    importlib.import_module(f"{node.module}.{name}")
