"""Whether the prompt that a job is to make can be: of its kind, so long, starting there.

A worker would refuse it too, but only when the job's turn has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptsys.errors import InvalidInput
from ptsys.kinds.registry import META, read_as_it_is
from ptsys.kinds.starting import refuse_start
from ptsys.types.records import Prompt
from ptsys.types.training import JobSpec
from ptsys.types.writing import WriteSpec

if TYPE_CHECKING:  # vocabularies and numpy: whoever lists jobs does without
    from ptsys.jobs.limits import ModelLimits, ModelShape


def check_made(spec: JobSpec | WriteSpec, model: ModelLimits) -> None:
    """Raise InvalidInput, naming the spec's field, for a kind that no job makes, a length that no
    prompt of it has, and a start that there is not for it or that has no tokens."""
    if spec.makes == META or isinstance(spec, WriteSpec):
        return  # its options say it all
    kind = read_as_it_is(spec.makes)
    try:
        kind.layout(kind.shapes(spec.length, model))
    except InvalidInput as error:
        raise InvalidInput(str(error), field="length") from None
    start = spec.initialization
    refuse_start(kind, start.kind)
    if start.kind in ("text", "labels"):
        from ptsys.prompts.initialization import label_pieces, text_pieces

        if start.kind == "text":
            text_pieces(model.vocabulary.encode, start.text or "")
        elif start.labels is not None:
            label_pieces(model.vocabulary.encode, start.labels, spec.length)


def check_weights(prompt: Prompt, model: ModelShape, field: str) -> None:
    """Raise InvalidInput, naming `field`, for a prompt of this model that was trained on other
    weights than it now has."""
    if prompt.model == model.model and prompt.model_fingerprint != model.fingerprint:
        raise InvalidInput(
            f"prompt {prompt.name!r} was trained on model {prompt.model!r} with fingerprint "
            f"{prompt.model_fingerprint}, which now has {model.fingerprint}; name another prompt",
            field=field,
        )
