"""From a request's header and tensor to the engine, and from its answer to what is sent back.

A request's header is `PredictRequest`, `GradientsRequest`, `EncodeRequest` or `EmitRequest` as
JSON, and beside its fields `user`, who asks. A prompt sent along is a safetensors file with a
float32 tensor for each of its arrays, of soft tokens `prompt` [P, D]; the gradient comes back as
one with a tensor `gradient`, or where there are other arrays with one for each, encodings as
`encodings` [rows, D], and a prompt that was written as `prompt` [P, D]. Nothing of any of them is
stored or logged.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from ptsys.data.reading import input_notes
from ptsys.engine.engine import Engine, Prompt
from ptsys.engine.ensemble import join_ensemble
from ptsys.engine.joining import chained
from ptsys.engine.model import ServedModel
from ptsys.engine.operations import GradientsResult
from ptsys.errors import InvalidInput
from ptsys.jobs.requests import Answer, Request
from ptsys.kinds.registry import META, writes_prompts
from ptsys.kinds.trees import Tree
from ptsys.prompts.multitask import TaskPart
from ptsys.prompts.safetensors_format import decode_tree, encode, encode_tree
from ptsys.prompts.storage import load_part, load_tree
from ptsys.prompts.tokens import NAME
from ptsys.store.prompts import Prompts
from ptsys.training.written_start import shipped_meta_prompt
from ptsys.types.example import Example
from ptsys.types.multitask import Combination
from ptsys.types.records import Prompt as Record
from ptsys.types.requests import (
    GENERIC,
    Aggregate,
    EmitRequest,
    EncodeRequest,
    GradientsRequest,
    Prediction,
    PredictRequest,
    TaskExample,
)
from ptsys.types.training import TOKENS
from workers.recent_prompts import RecentPrompts, content, meta_digest
from workers.uses import Uses

Body = TypeVar("Body", bound=BaseModel)

_CACHED_PROMPTS = 256  # tensors of stored prompts kept on the host
_CACHED_TREES = 16  # of other kinds, which may be large


@dataclasses.dataclass(frozen=True)
class Pending:
    """A request in the engine, and how its result is put into a reply."""

    result: concurrent.futures.Future[Any]
    reply: Callable[[Any], Answer]


class Interactive:
    """Predict, gradients, encode and emit for one model."""

    def __init__(self, engine: Engine, served: ServedModel, prompts: Prompts) -> None:
        self._engine = engine
        self._served = served
        self._prompts = prompts
        self.uses = Uses()
        self._recent = RecentPrompts()
        self._part = functools.lru_cache(maxsize=_CACHED_PROMPTS)(self._load)
        self._whole = functools.lru_cache(maxsize=_CACHED_TREES)(self._load_tree)
        self._digest = functools.lru_cache(maxsize=_CACHED_PROMPTS)(self._digest_of)
        self._pair = functools.lru_cache(maxsize=_CACHED_PROMPTS)(self._combine)

    def reads(self, request: Request) -> bool:
        """Whether this request names stored prompts, for which the database has to be asked."""
        named = any(request.header.get(name) for name in ("prompt", "prompts", "general"))
        return named or request.header.get("meta", GENERIC) != GENERIC

    def begin(self, request: Request) -> Pending:
        """Hand a request to the engine.

        Raises InvalidInput for what is wrong with it, NotFound for a prompt that is not the
        user's to see.
        """
        header = dict(request.header)
        user = header.pop("user", None)
        header.pop("trace", None)  # see `workers.serve_loop`
        if not isinstance(user, str) or not user:
            raise InvalidInput("the request does not say who asks", field="user")
        if request.kind == "predict":
            return self._predict(_body(PredictRequest, header), user, request.tensors)
        if request.kind == "gradients":
            return self._gradients(_body(GradientsRequest, header), user, request.tensors)
        if request.kind == "encode":
            return self._encode(_body(EncodeRequest, header), user, request.tensors)
        if request.kind == "emit":
            return self._emit(_body(EmitRequest, header), user)
        raise InvalidInput(f"there are no requests of kind {request.kind!r}", field="kind")

    def _predict(self, body: PredictRequest, user: str, tensors: bytes | None) -> Pending:
        if body.prompts:
            reply = self._noting(_predictions, body.inputs)
            return Pending(self._predict_ensemble(body, user, tensors), reply)
        if body.examples:
            future = self._predict_from_examples(body, user, tensors)
        else:
            prompt = self._prompt(body, user, tensors)
            future = self._engine.predict(body.inputs, prompt, body.decoding, user=user)
        return Pending(future, self._noting(_predictions, body.inputs))

    def _predict_from_examples(
        self, body: PredictRequest, user: str, tensors: bytes | None
    ) -> concurrent.futures.Future[list[Prediction]]:
        if tensors is not None or body.general is not None:
            raise InvalidInput(
                "give examples to write a prompt from, or a prompt, not both", field="examples"
            )
        self._check_model(body)
        return chained(
            self._written(body.meta, user, body.examples),
            lambda prompt: self._engine.predict(body.inputs, prompt, body.decoding, user=user),
        )

    def _emit(self, body: EmitRequest, user: str) -> Pending:
        self._check_model(body)
        if not body.examples and body.description is None:
            raise InvalidInput("give examples, a description, or both", field="examples")
        future = self._written(body.meta, user, body.examples, body.description, body.aggregate)
        texts = [example.input for example in body.examples]
        return Pending(future, self._noting(_written, [*texts, body.description or ""]))

    def _written(
        self,
        reference: str,
        user: str,
        examples: Sequence[TaskExample],
        description: str | None = None,
        aggregate: Aggregate = "each",
    ) -> concurrent.futures.Future[NDArray[np.float32]]:
        """What a meta-prompt that the user may see writes; the same as not long ago if it was
        asked for then."""
        meta, digest = self._meta(reference, user)
        key = content(digest, examples, description, aggregate)
        recent = self._recent.get(key)
        if recent is not None:
            known: concurrent.futures.Future[NDArray[np.float32]] = concurrent.futures.Future()
            known.set_result(recent)
            return known
        future = self._engine.written(
            meta, _examples(examples), description, aggregate=aggregate, user=user
        )

        def keep(done: concurrent.futures.Future[NDArray[np.float32]]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._recent.keep(key, done.result())

        future.add_done_callback(keep)
        return future

    def _meta(self, reference: str, user: str) -> tuple[Tree, bytes]:
        """A stored meta-prompt, or that which ships with the model, and its digest. Whether the
        user may see it is asked every time."""
        if reference == GENERIC:
            return shipped_meta_prompt(self._served, "meta"), self._digest(GENERIC)
        record = self._prompts.get(reference, user)
        self._check_weights(record, reference, "meta")
        if record.kind != META:
            raise InvalidInput(
                f"{reference!r} is a prompt, not a meta-prompt; `ptsys meta list` shows those",
                field="meta",
            )
        self.uses.add([record.id])
        return self._whole(record.id), self._digest(record.id)

    def _predict_ensemble(
        self, body: PredictRequest, user: str, tensors: bytes | None
    ) -> concurrent.futures.Future[list[Prediction]]:
        if tensors is not None:
            raise InvalidInput(
                "an ensemble is of stored prompts; upload the tensor first", field="prompts"
            )
        self._check_model(body)
        stored = [self._stored(reference, user, field="prompts") for reference in body.prompts]
        members = [
            self._engine.predict(body.inputs, prompt, body.decoding, user=user) for prompt in stored
        ]
        return join_ensemble(members, body.ensemble)

    def _gradients(self, body: GradientsRequest, user: str, tensors: bytes | None) -> Pending:
        prompt = self._prompt(body, user, tensors)
        if prompt is None:
            raise InvalidInput(
                "gradients need a prompt: name one, or send its tensor", field="prompt"
            )
        future = self._engine.gradients(body.inputs, body.targets, prompt, user=user)
        return Pending(future, self._noting(_gradient, body.inputs))

    def _encode(self, body: EncodeRequest, user: str, tensors: bytes | None) -> Pending:
        prompt = self._prompt(body, user, tensors)
        future = self._engine.encodings(body.inputs, prompt, user=user)
        return Pending(future, self._noting(_encodings, body.inputs))

    def _noting(
        self, reply: Callable[[Any], Answer], inputs: Sequence[str]
    ) -> Callable[[Any], Answer]:
        """The reply, and in its header what the model does not read of the inputs, if anything."""
        limit = self._engine.model.frozen.config.max_input_length
        notes = input_notes(self._served.vocabulary, inputs, limit)
        if notes.warning is None:
            return reply
        counts = {"cut_inputs": notes.cut, "unknown_inputs": notes.unknown}

        def noted(result: Any) -> Answer:
            header, tensors = reply(result)
            return {**header, **counts}, tensors

        return noted

    def _prompt(
        self,
        body: PredictRequest | GradientsRequest | EncodeRequest,
        user: str,
        tensors: bytes | None,
    ) -> Prompt | None:
        self._check_model(body)
        if body.general is not None and body.prompt is None:
            raise InvalidInput(
                "a general prompt goes with a stored task-specific one; name that as `prompt`",
                field="general",
            )
        if tensors is not None:
            if body.prompt is not None:
                raise InvalidInput(
                    "the request names a prompt and brings one; send one of the two",
                    field="prompt",
                )
            tree, _ = decode_tree(tensors)
            return tree  # the engine checks its shapes and values
        return None if body.prompt is None else self._stored(body.prompt, user, body.general)

    def _check_model(
        self, body: PredictRequest | GradientsRequest | EncodeRequest | EmitRequest
    ) -> None:
        if body.model != self._served.name:
            raise InvalidInput(
                f"the request is for model {body.model!r}, this worker serves "
                f"{self._served.name!r}",
                field="model",
            )

    def _stored(
        self, reference: str, user: str, general: str | None = None, *, field: str = "prompt"
    ) -> Prompt:
        """A stored prompt, a task-specific one combined with its general one or with that named
        `general`. Whether the user may see them is asked every time."""
        record = self._prompts.get(reference, user)
        self._check_weights(record, reference, field)
        if record.kind == META:
            raise writes_prompts(field)
        if record.kind != TOKENS and general is None:
            self.uses.add([record.id])
            return self._whole(record.id)
        if record.combination is None and general is None:
            rows = self._part(record.id).rows
            assert rows is not None
            self.uses.add([record.id])
            return rows
        other = self._prompts.general_of(record, user, general)
        assert record.combination is not None
        try:
            pair = self._pair(record.id, other.id, record.combination)
        except InvalidInput as error:
            raise InvalidInput(
                f"prompt {record.name!r} and the general prompt {other.name!r} do not fit: {error}",
                field="general",
            ) from error
        self.uses.add([record.id, other.id])
        return pair

    def _check_weights(self, record: Record, reference: str, field: str) -> None:
        if record.model_fingerprint != self._served.fingerprint:
            raise InvalidInput(
                f"prompt {reference!r} was trained on model {record.model!r} with fingerprint "
                f"{record.model_fingerprint}; this worker serves {self._served.name!r} with "
                f"{self._served.fingerprint}",
                field=field,
            )

    def _combine(self, task: str, general: str, method: Combination) -> NDArray[np.float32]:
        rows = self._part(general).rows
        assert rows is not None
        return self._part(task).with_general(rows, method)

    def _load(self, identifier: str) -> TaskPart:
        return load_part(self._prompts.tensor_path(identifier))

    def _load_tree(self, identifier: str) -> Tree:
        return load_tree(self._prompts.tensor_path(identifier))

    def _digest_of(self, meta: str) -> bytes:
        if meta == GENERIC:
            return meta_digest(shipped_meta_prompt(self._served, "meta"))
        return meta_digest(self._whole(meta))


def _body(kind: type[Body], header: dict[str, Any]) -> Body:
    try:
        return kind.model_validate(header)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{where or 'the request'}: {first['msg']}", field=where) from None


def _predictions(answers: list[Prediction]) -> Answer:
    return {"predictions": [answer.model_dump(mode="json") for answer in answers]}, None


def _encodings(rows: list[NDArray[np.float32]]) -> Answer:
    return {"rows": len(rows)}, encode(np.stack(rows), tensor="encodings")


def _examples(told: Sequence[TaskExample]) -> list[Example]:
    return [Example(one.input, one.target) for one in told]


def _written(prompt: NDArray[np.float32]) -> Answer:
    return {"length": len(prompt)}, encode(prompt)


def _gradient(result: GradientsResult) -> Answer:
    header = {
        "loss": result.loss,
        "tokens": result.tokens,
        "row_losses": result.row_losses,
        "predictions": result.predictions,
    }
    if set(result.gradients) == {NAME}:
        return header, encode(result.gradient, tensor="gradient")
    return header, encode_tree(result.gradients)
