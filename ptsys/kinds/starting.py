"""Where a prompt of some kind may start: said here alone, to workers and at the door."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from ptsys.errors import InvalidInput
from ptsys.kinds.registry import READ_AS
from ptsys.types.meta_training import SHARED, Generator
from ptsys.types.training import TOKENS

if TYPE_CHECKING:  # numpy: who only sends jobs does without
    from ptsys.kinds.prompt_kind import PromptKind

_SOFT_TOKENS = "prompt"  # the array that holds them


def refuse_start(kind: PromptKind, initialization: str) -> None:
    """Raise InvalidInput where no prompt of this kind can start as an `Initialization` of that
    kind says."""
    if not kind.starts_at(initialization):
        raise InvalidInput(
            f"a prompt of the kind {kind.name!r} starts at the `shared` start or at another "
            "prompt, as it holds no tokens",
            field="initialization.kind",
        )


def refuse_first(kind: str, arrays: AbstractSet[str]) -> None:
    """Raise InvalidInput where no prompt of this kind can start from one of arrays so named: soft
    tokens start from what has soft tokens, others from what has no array that they lack."""
    if kind == TOKENS:
        if _SOFT_TOKENS not in arrays:
            raise InvalidInput(
                "the prompt to start from has no tokens before the input; name one that has",
                field="initialization.prompt",
            )
    elif arrays - arrays_of(kind):
        raise InvalidInput(
            f"the prompt to start from is not of the kind {kind!r}; name one that is",
            field="initialization.prompt",
        )


def refuse_teacher(name: str, arrays: AbstractSet[str], field: str) -> None:
    """Raise InvalidInput where a meta-prompt cannot learn from a prompt of that name, with arrays
    so named: it learns to write soft tokens."""
    if arrays != {_SOFT_TOKENS}:
        raise InvalidInput(
            f"prompt {name!r} is not of soft tokens alone, which a meta-prompt learns to write; "
            "name one that is",
            field=field,
        )


def arrays_of(kind: str) -> frozenset[str]:
    """The names of all arrays that a prompt of this kind may have."""
    named = (names for names, read_as in READ_AS.items() if read_as == kind)
    return max(named, key=len, default=frozenset())


def refuse_shared(generator: Generator) -> None:
    """Raise InvalidInput if a job whose start has a generator of its own would go on without."""
    if generator == SHARED:
        raise InvalidInput(
            "the meta-prompt to start from has a generator of its own; choose own or own-trained",
            field="generator",
        )
