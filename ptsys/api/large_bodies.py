"""What reads each large body in a process apart, and how far: what comes back is small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ptsys.api.context import Context
from ptsys.api.counting import TokensBody
from ptsys.api.generating import GenerateBody, check_inputs
from ptsys.api.json_bodies import parse_json
from ptsys.api.media_types import Kind
from ptsys.api.questions import Body, GradientsBody, PredictBody, parse_question
from ptsys.api.searching import SearchBody
from ptsys.api.selecting import SelectBody, check_body
from ptsys.api.tensors import noted_tree
from ptsys.api.writing import WriteBody
from ptsys.prompts.check import check_numbers
from ptsys.prompts.safetensors_format import encode_tree

Reader = Callable[[Context, bytes, Kind], tuple[Any, bytes | None]]


def _question(kind: type[Body]) -> Reader:
    def read(context: Context, data: bytes, given: Kind) -> tuple[Any, bytes | None]:
        body, tensor = parse_question(context, data, given, kind)
        return body.model_dump(mode="json", exclude={"tensor"}), tensor

    return read


def _generate(context: Context, data: bytes, _given: Kind) -> tuple[Any, bytes | None]:
    body = parse_json(data, GenerateBody)
    check_inputs(context.settings, body)
    return body.model_dump(mode="json"), None


def _search(context: Context, data: bytes, _given: Kind) -> tuple[Any, bytes | None]:
    body = parse_json(data, SearchBody)
    body.rows(context.settings.max_request_rows, context.settings.max_row_bytes)
    return body.model_dump(mode="json"), None


def _select(context: Context, data: bytes, _given: Kind) -> tuple[Any, bytes | None]:
    body = parse_json(data, SelectBody)
    check_body(context, body)
    return body.model_dump(mode="json"), None


def _tokens(context: Context, data: bytes, _given: Kind) -> tuple[Any, bytes | None]:
    body = parse_json(data, TokensBody)
    body.check(context.settings)
    return body.model_dump(mode="json"), None


def _write(_context: Context, data: bytes, _given: Kind) -> tuple[Any, bytes | None]:
    return parse_json(data, WriteBody).model_dump(mode="json"), None


def _prompt(_context: Context, data: bytes, given: Kind) -> tuple[Any, bytes | None]:
    tree, notes = noted_tree(data, given)
    checked = {name: check_numbers(leaf, name) for name, leaf in tree.items()}
    return None, encode_tree(checked, notes)


READERS: Final[Mapping[str, Reader]] = {
    PredictBody.__name__: _question(PredictBody),
    GradientsBody.__name__: _question(GradientsBody),
    GenerateBody.__name__: _generate,
    SearchBody.__name__: _search,
    SelectBody.__name__: _select,
    TokensBody.__name__: _tokens,
    WriteBody.__name__: _write,
    "prompt": _prompt,
}
