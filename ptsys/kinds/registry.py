"""Where kinds are found by name. A kind's module is imported when it is first asked for."""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ptsys.errors import InvalidInput

if TYPE_CHECKING:  # numpy: who only sends jobs does without
    from ptsys.kinds.prompt_kind import PromptKind

PROMPT_KINDS: dict[str, str] = {
    "tokens": "ptsys.prompts.tokens:TOKENS",
    "add": "ptsys.prompts.multitask_kind:ADD",
    "concat": "ptsys.prompts.multitask_kind:CONCAT",
    "affine": "ptsys.prompts.multitask_kind:AFFINE",
    "decoder": "ptsys.prompts.decoder:DECODER",
    "encoder_decoder": "ptsys.prompts.decoder:ENCODER_DECODER",
    "deep": "ptsys.prompts.deep:DEEP",
    "meta": "ptsys.prompts.meta_kind:WRITING",
}
"""Where each prompt kind lies, `module:attribute`."""

READ_AS: dict[frozenset[str], str] = {
    frozenset({"prompt"}): "tokens",
    frozenset({"decoder_prompt"}): "decoder",
    frozenset({"prompt", "decoder_prompt"}): "encoder_decoder",
    **{
        frozenset(f"{stack}_{part}" for stack in stacks for part in ("keys", "values")): "deep"
        for count in (1, 2, 3)
        for stacks in itertools.combinations(("encoder", "decoder", "cross"), count)
    },
}
"""The kind of a prompt that a model reads as it is, by the names of its arrays."""

STORED_KINDS: tuple[str, ...] = tuple(dict.fromkeys(READ_AS.values()))
"""Those kinds: of what jobs make, what is stored, searched for and asked."""

META = "meta"
"""The kind of what writes prompts. A model reads it as none: it is stored and sent like prompts."""

GENERATOR = "generator."
"""What the names of a meta-prompt's own generator's arrays begin with."""

DOMAIN = "domain"
"""The array of a meta-prompt that is not for writing: see `ptsys.library.domain`."""

_WRITERS = {META: "ptsys.prompts.meta:META"}
_WRITES = frozenset({"tokens", "start", "tail", "summary", "label", "embedding_scale"})

MODEL_KINDS: dict[str, str] = {"t5": "ptsys.models.t5.kind:T5Kind"}
"""Where each model kind lies: a class made of a model's configuration."""


ROW_CODERS: dict[str, str] = {"t5": "ptsys.models.t5.text:TextRows"}
"""Where each model kind's rows are coded: a class made of its configuration and vocabulary."""


def prompt_kind(name: str) -> PromptKind:
    """The prompt kind of that name. Raises InvalidInput for one that there is not."""
    kind: PromptKind = _loaded(PROMPT_KINDS, name, "prompt_kind")
    return kind


def writes_prompts(field: str) -> InvalidInput:
    """What to say where a meta-prompt stands for a prompt."""
    return InvalidInput(
        "a meta-prompt writes prompts: generate one first (`ptsys meta generate`)", field=field
    )


def stored_kind(tree: Mapping[str, Any]) -> Any:
    """The kind of what is kept: as `kind_of`, or a meta-prompt's."""
    return writer() if _is_meta(tree) else kind_of(tree)


def writer() -> Any:
    """The kind of meta-prompts, as they are stored."""
    return _module(_WRITERS[META])


def _is_meta(tree: Mapping[str, Any]) -> bool:
    rest = tree.keys() - _WRITES - {DOMAIN}
    return tree.keys() >= _WRITES and all(name.startswith(GENERATOR) for name in rest)


def kind_of(tree: Mapping[str, Any]) -> PromptKind:
    """The kind of a prompt that a model reads as it is. Raises InvalidInput for arrays that are
    none."""
    if _is_meta(tree):
        raise writes_prompts("prompt")
    name = READ_AS.get(frozenset(tree))
    if name is None:
        raise InvalidInput(
            f"arrays named {', '.join(sorted(tree)) or 'nothing'} make no prompt; those of one are "
            + " or ".join("+".join(sorted(names)) for names in READ_AS),
            field="prompt",
        )
    return prompt_kind(name)


def read_as_it_is(name: str) -> PromptKind:
    """The prompt kind of that name. Raises InvalidInput for one that there is not, or that a model
    reads only with others, such as those of multi-task prompts."""
    if name in _WRITERS:
        raise writes_prompts("prompt_kind")
    if name not in STORED_KINDS:
        raise InvalidInput(
            f"there is no kind {name!r}; choose {', '.join(STORED_KINDS)}", field="prompt_kind"
        )
    return prompt_kind(name)


def model_kind(name: str) -> Any:
    """The model kind of that name. Raises InvalidInput for one that there is not."""
    return _loaded(MODEL_KINDS, name, "model")


def row_coder(name: str) -> Any:
    """What codes the rows of the model kind of that name."""
    return _loaded(ROW_CODERS, name, "model")


@functools.cache
def _module(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _loaded(kinds: Mapping[str, str], name: str, field: str) -> Any:
    if name not in kinds:
        raise InvalidInput(f"there is no kind {name!r}; choose {', '.join(kinds)}", field=field)
    return _module(kinds[name])
