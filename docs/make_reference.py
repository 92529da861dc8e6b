"""Writes docs/reference from the code: the HTTP API, the Python client and the command line.

python docs/make_reference.py           # a test asks whether this was done
"""

from __future__ import annotations

import ast
import html
import inspect
import json
import os
import pydoc
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "reference"
_MADE = "<!-- Made from the code by docs/make_reference.py; change it there. -->\n"
_HIDDEN = ("HTTPValidationError", "ValidationError")


def pages() -> dict[str, str]:
    """Every page's text by its file's name."""
    return {
        "http.md": http_api(),
        "client.md": client(),
        "cli.md": command_line(),
        "settings.md": settings(),
    }


# ---- HTTP ---------------------------------------------------------------------------------------


def http_api() -> str:
    """The HTTP API, from its OpenAPI description."""
    from ptsys.api.app import create_app
    from ptsys.config import Settings

    with tempfile.TemporaryDirectory() as folder:
        told = create_app(Settings(data_dir=Path(folder))).openapi()
    lines = [
        _MADE,
        "# HTTP API",
        f"{told['info']['description']}\n",
        "A running service tells the same at `/docs` and `/openapi.json`; [http.md](../http.md) "
        "shows it in use.\n",
    ]
    for path, operations in sorted(told["paths"].items()):
        for method, operation in operations.items():
            lines += _operation(method.upper(), path, operation)
    lines.append("# Schemas\n")
    for name, schema in sorted(told["components"]["schemas"].items()):
        if name not in _HIDDEN:
            lines += _schema(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, told: dict[str, Any]) -> Iterator[str]:
    yield f"## {method} {path}\n"
    yield f"{told.get('description') or told['summary']}\n"
    if told.get("parameters"):
        yield "| parameter | in | type | meaning |\n|---|---|---|---|"
        for one in told["parameters"]:
            name = f"`{one['name']}`" + (" (needed)" if one.get("required") else "")
            meaning = one.get("description") or one["schema"].get("description", "")
            yield f"| {name} | {one['in']} | {_type(one['schema'])} | {_cell(meaning)} |"
        yield ""
    for kind, content in told.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{kind}`: {_type(content.get('schema', {}))}\n"
        if "example" in content:
            yield f"```json\n{json.dumps(content['example'], indent=2)}\n```\n"
    yield "| status | answer |\n|---|---|"
    for status, answer in sorted(told["responses"].items()):
        kinds = ", ".join(
            f"`{kind}` {_type(content.get('schema', {}))}".strip()
            for kind, content in answer.get("content", {}).items()
        )
        yield f"| {status} | {_cell(answer['description'])}{': ' if kinds else ''}{kinds} |"
    yield ""


def _schema(name: str, told: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    if told.get("description"):
        yield f"{told['description']}\n"
    if told.get("properties"):
        needed = told.get("required", ())
        yield "| field | type | meaning |\n|---|---|---|"
        for field, one in told["properties"].items():
            default = f" Default `{json.dumps(one['default'])}`." if "default" in one else ""
            mark = " (needed)" if field in needed else ""
            meaning = _cell(one.get("description", "") + default)
            yield f"| `{field}`{mark} | {_type(one)} | {meaning} |"
        yield ""
    elif "enum" in told:
        yield f"{_type(told)}\n"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link where it has a section of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_type(one) for one in schema[several])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    bounds = [
        f"{sign} {schema[key]}"
        for key, sign in (
            ("exclusiveMinimum", ">"),
            ("minimum", "≥"),
            ("exclusiveMaximum", "<"),
            ("maximum", "≤"),
        )
        if key in schema
    ]
    kind = str(schema.get("format") or schema.get("type", ""))
    return f"{kind} {', '.join(bounds)}".strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ---- the client ---------------------------------------------------------------------------------


def client() -> str:
    """The Python client, from its docstrings."""
    import ptsys.client
    from ptsys.client.datasets import Datasets
    from ptsys.client.jobs import Jobs
    from ptsys.client.meta_prompts import MetaPrompts
    from ptsys.client.models import Models
    from ptsys.client.prompts import Prompts

    resources = {
        "Client.models": Models,
        "Client.datasets": Datasets,
        "Client.prompts": Prompts,
        "Client.meta_prompts": MetaPrompts,
        "Client.jobs": Jobs,
    }
    named = {name: getattr(ptsys.client, name) for name in ptsys.client.__all__}
    first = {"Client": named.pop("Client")}
    lines = [
        _MADE,
        "# Python client\n",
        f"{inspect.getdoc(ptsys.client)} `import ptsys` gives `ptsys.Client`; the rest is in "
        "`ptsys.client`.\n",
    ]
    for name, thing in {**first, **resources, **named}.items():
        lines += _thing(name, thing)
    return "\n".join(lines).rstrip() + "\n"


def _thing(name: str, thing: Any) -> Iterator[str]:
    yield f"## {name}\n"
    if not inspect.isclass(thing):
        if callable(thing):
            yield f"```python\n{name}{_signature(thing)}\n```\n"
        yield f"{_doc(thing)}\n"
        return
    if not name.startswith("Client."):
        yield f"```python\n{name}{_signature(thing)}\n```\n"
    yield f"{_doc(thing)}\n"
    for method, function in vars(thing).items():
        if method.startswith("_") or method.startswith("model_"):
            continue
        if isinstance(function, property):
            yield f"**`.{method}`** {_doc(function)}\n"
        elif inspect.isfunction(function) or isinstance(function, classmethod | staticmethod):
            called = getattr(thing, method)
            yield f"```python\n.{method}{_signature(called, bound=inspect.isfunction(called))}\n```"
            yield f"{_doc(called)}\n"


def _signature(thing: Any, *, bound: bool = False) -> str:
    """How it is called, a parameter a line where it would be too long for one."""
    signature = inspect.signature(thing)
    told = [
        re.sub(r"<[^<>]*>", "…", str(one)).replace("'", "") for one in signature.parameters.values()
    ]
    kinds = [one.kind for one in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        told.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    told = told[1:] if bound else told
    end = signature.return_annotation
    result = "" if end in (inspect.Signature.empty, None, "None") else f" -> {end}".replace("'", "")
    line = f"({', '.join(told)}){result}"
    return line if len(line) <= 80 else "(\n    " + ",\n    ".join(told) + f",\n){result}"


def _doc(thing: Any) -> str:
    text = inspect.getdoc(thing) or pydoc.getdoc(thing)
    lines = text.splitlines()
    code = any(line.startswith("    ") for line in lines)
    return text if not code else _fenced(lines)


def _fenced(lines: list[str]) -> str:
    """The docstring's indented code as fenced code."""
    out: list[str] = []
    inside = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not inside:
            out.append("```python")
        if inside and line and not indented:
            out.insert(len(out) - (out[-1] == ""), "```")
        inside = indented or (inside and not line)
        out.append(line.removeprefix("    ") if indented else line)
    return "\n".join([*out, "```"] if inside else out)


# ---- the command line ---------------------------------------------------------------------------


def command_line() -> str:
    """Every command's help, by typer itself."""
    command = (sys.executable, "-m", "typer", "ptsys.cli.main", "utils", "docs", "--name", "ptsys")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PTSYS_")}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**kept, "COLUMNS": "100"}
    )
    plain = html.unescape(done.stdout).replace("[bold]", "**").replace("[/bold]", "**")
    return f"{_MADE}\n{plain.strip()}\n"


# ---- settings -----------------------------------------------------------------------------------

_UNITS = {
    "ms": "milliseconds",
    "seconds": "seconds",
    "days": "days",
    "bytes": "bytes",
    "rows": "rows",
    "minute": "a minute",
    "day": "a day",
    "jobs": "jobs",
    "residents": "jobs",
    "shards": "devices",
    "positions": "tokens",
    "port": "port",
}
_READERS = {
    "api": "API",
    "workers": "worker",
    "engine": "worker",
    "sharding": "worker",
    "cli": "command line",
    "client": "client",
}
_THROUGH = {"root": "data_dir", "sqlalchemy_url": "database_url"}  # properties of Settings


def settings() -> str:
    """Every `PTSYS_*` variable, from `ptsys.config` and from where it is read."""
    from ptsys.config import Settings

    readers, others = _readers()
    lines = [
        _MADE,
        "# Settings\n",
        "A deployment is set by environment variables, alike for all of its processes: "
        "`/etc/ptsys/ptsys.env` on one machine, a ConfigMap and a Secret in a cluster "
        "([deploy.md](../deploy.md)). What an option of the command line names counts more. "
        "*Everyone* is the API, workers and the commands that open the data directory.\n",
        "| variable | default | unit | read by | meaning |\n|---|---|---|---|---|",
    ]
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        told = schema[name]
        default = "unset" if field.default is None else f"`{field.default}`"
        choices = f" One of {', '.join(f'`{x}`' for x in told['enum'])}." if "enum" in told else ""
        meaning = _cell((field.description or "") + choices)
        who = _who(readers.get(name, set()))
        lines.append(
            f"| `PTSYS_{name.upper()}` | {default} | {_unit(name, told)} | {who} | {meaning} |"
        )
    lines += [
        "\nRead elsewhere than by a deployment's processes:\n",
        "| variable | read by |\n|---|---|",
    ]
    lines += [f"| `{name}` | {_who(where)} |" for name, where in sorted(others.items())]
    return "\n".join(lines).rstrip() + "\n"


def _unit(name: str, told: dict[str, Any]) -> str:
    kinds = {one.get("type") for one in told.get("anyOf", [told])}
    if not kinds & {"integer", "number"}:
        return ""
    last = name.rpartition("_")[2]
    first = f"{_UNITS[name.partition('_')[0]]} " if last in ("minute", "day") else ""
    return first + _UNITS.get(last, "count")


def _who(readers: set[str]) -> str:
    return "everyone" if "everyone" in readers else ", ".join(sorted(readers)) or "nobody"


def _readers() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Who reads each field of the settings, and each variable that is none of them."""
    from ptsys.config import Settings

    code = FOLDER.parent.parent
    fields: dict[str, set[str]] = {}
    others: dict[str, set[str]] = {}
    for path in sorted([*code.glob("ptsys/**/*.py"), *code.glob("workers/**/*.py")]):
        if path.name == "config.py":
            continue
        room = path.relative_to(code).parts
        who = _READERS.get(room[1] if room[0] == "ptsys" else room[0], "everyone")
        for node in ast.walk(ast.parse(path.read_text())):
            name = _setting(node)
            if name in Settings.model_fields:
                fields.setdefault(name, set()).add(who)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                variable = node.value
                known = variable.removeprefix("PTSYS_").lower() in Settings.model_fields
                if re.fullmatch(r"PTSYS_[A-Z_]+", variable) and not known:
                    others.setdefault(variable, set()).add(who)
    return fields, others


def _setting(node: ast.AST) -> str:
    """The field that this expression reads of something called settings; nothing for others."""
    if not isinstance(node, ast.Attribute):
        return ""
    owner = node.value
    called = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return _THROUGH.get(node.attr, node.attr) if called.strip("_") == "settings" else ""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
