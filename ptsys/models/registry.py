"""The models that can be served: those in the package and those imported under a root."""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.models.builtin_format import is_builtin_form, read_builtin
from ptsys.models.checkpoint import load_model, save_model
from ptsys.models.description import Description, is_model_folder, read_description
from ptsys.models.fingerprint import fingerprint
from ptsys.models.loaded import LoadedModel, Placement
from ptsys.models.sentencepiece_file import count_sentinels
from ptsys.models.t5.hugging_face import import_hugging_face
from ptsys.models.t5.network import T5
from ptsys.models.t5.t5x import import_t5x
from ptsys.models.t5.t5x_files import is_t5x
from ptsys.store.model_folders import (
    CONFIG,
    builtin_models,
    imported_models,
    read_initialization,
    read_meta_prompt,
    vocabulary_path,
)
from ptsys.types.names import NAME, named
from ptsys.types.records import Model

BUILTIN = builtin_models()
logger = logging.getLogger(__name__)


Tokenizer = Literal["sentencepiece", "byt5"]


@dataclasses.dataclass(frozen=True)
class Incoming:
    """A model that was read from somewhere and is kept nowhere yet."""

    model: T5
    source: str
    vocabulary: bytes | None = None
    sentinels: int = 100
    initialization: np.ndarray | None = None
    meta_prompt: Mapping[str, np.ndarray] | None = None

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of its weights."""
        return fingerprint(self.model)


def load_builtin(name: str) -> LoadedModel:
    """A model that ships in the package. Raises NotFound."""
    folder = BUILTIN / name
    if not is_model_folder(folder):
        raise NotFound(f"no model {name!r} is built in")
    return read_builtin(folder, name)


class Registry:
    """Frozen models by name: built in, or imported under `<root>/models/<name>`."""

    def __init__(self, root: Path) -> None:
        self._folder = imported_models(root)

    def describe(self, name: str) -> Model:
        """A model's record, without reading its weights. Raises NotFound."""
        folder, builtin = self._find(name)
        return _record(name, read_description(folder), builtin=builtin)

    def load(
        self, name: str, *, dtype: DTypeLike = jnp.float32, placement: Placement | None = None
    ) -> LoadedModel:
        """A model with its weights on the device; see `ptsys.models.checkpoint.load_model`.

        `dtype` and `placement` are for imported models; a built-in one is small, and float32 on
        the default device. Raises NotFound, and InvalidInput if its files are damaged.
        """
        folder, builtin = self._find(name)
        if builtin:
            return load_builtin(name)
        return load_model(folder, name=name, dtype=dtype, placement=placement)

    def import_model(
        self,
        source: Path,
        name: str,
        *,
        vocabulary: Path | None = None,
        relative_max_distance: int = 128,
        tokenizer: Tokenizer | None = None,
    ) -> Model:
        """Bring a model in, as `read_source` reads it. Everything is checked before the model
        appears under its name. Raises InvalidInput, or Conflict if the name is taken."""
        self._check_free(name)
        incoming = read_source(
            source,
            vocabulary=vocabulary,
            relative_max_distance=relative_max_distance,
            tokenizer=tokenizer,
        )
        return self.keep(incoming, name)

    def keep(self, incoming: Incoming, name: str, *, replace: bool = False) -> Model:
        """Keep a model that was read under a name, or in place of the one that has it: then of
        the same weights the vocabulary stays, unless another comes. Raises Conflict if the name
        is taken, NotFound if there is nothing to replace."""
        if replace:
            incoming = _with_known_vocabulary(incoming, self.check_replaceable(name))
        else:
            self._check_free(name)
        description = save_model(
            incoming.model,
            self._folder / name,
            incoming.vocabulary,
            initialization=incoming.initialization,
            meta_prompt=incoming.meta_prompt,
            source=incoming.source,
            sentinels=incoming.sentinels,
            replace=replace,
        )
        return _record(name, description, builtin=False)

    def check_replaceable(self, name: str) -> Path:
        """The folder of an imported model, damaged ones too. Raises NotFound, or Conflict if it is
        built in."""
        folder, builtin = self._find(name)
        if builtin:
            raise Conflict(f"the model {name!r} is built in and stays; import another beside it")
        return folder

    def add(
        self,
        model: T5,
        name: str,
        *,
        source: str = "",
        vocabulary: bytes | None = None,
        sentinels: int = 100,
        initialization: np.ndarray | None = None,
    ) -> Model:
        """Keep a model under a name. Raises Conflict if it is taken."""
        return self.keep(Incoming(model, source, vocabulary, sentinels, initialization), name)

    def _check_free(self, name: str) -> None:
        try:
            named(name)
        except ValueError as error:
            raise InvalidInput(f"{name[:120]!r}: {error}", field="name") from None
        if is_model_folder(BUILTIN / name):
            raise Conflict(f"the model {name!r} is built in; choose another name")
        if (self._folder / name).exists():
            raise Conflict(f"there is a model {name!r} already; choose another name")

    def _find(self, name: str) -> tuple[Path, bool]:
        """A model's folder, and whether it is built in."""
        if re.fullmatch(NAME, name):
            if is_model_folder(BUILTIN / name):
                return BUILTIN / name, True
            if (self._folder / name).is_dir():
                return self._folder / name, False
        known = ", ".join(model.name for model in self.list()) or "none"
        raise NotFound(f"no model {name!r}; there are: {known}")

    def list(self) -> list[Model]:
        """Every model's record, built-in ones first, by name. Damaged folders are left out."""
        records = []
        for parent, builtin in ((BUILTIN, True), (self._folder, False)):
            for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
                if folder.name.startswith((".", "_")) or not folder.is_dir():
                    continue
                try:
                    description = read_description(folder)
                except InvalidInput as error:
                    logger.warning("left out the model %s: %s", folder.name, error)
                    continue
                records.append(_record(folder.name, description, builtin=builtin))
        return records


def read_source(
    source: Path,
    *,
    vocabulary: Path | None = None,
    relative_max_distance: int = 128,
    tokenizer: Tokenizer | None = None,
) -> Incoming:
    """A model from a Hugging Face folder, a T5X checkpoint, or a folder of ours.

    `vocabulary` is a SentencePiece file where the source has none (T5X); the last two arguments
    say of a T5X checkpoint what its shapes do not. Raises InvalidInput.
    """
    source = Path(source).expanduser()
    if not source.is_dir():
        raise InvalidInput(f"{source} is not a folder", field="source")
    if vocabulary is None and (source / "spiece.model").is_file():
        vocabulary = source / "spiece.model"
    content = None if vocabulary is None else _read_vocabulary(vocabulary)  # weights take longer
    if is_model_folder(source):
        return _copied(source, content)
    if is_t5x(source):
        imported = import_t5x(
            source, relative_max_distance=relative_max_distance, tokenizer=tokenizer
        )
        for path, prompt in imported.prompts.items():
            logger.info("%s also holds a prompt, %s %s", source, path, list(prompt.shape))
        model = imported.model
    elif (source / CONFIG).is_file():
        model = import_hugging_face(source)
    else:
        raise InvalidInput(
            f"{source} is neither a Hugging Face folder (config.json, model.safetensors), nor "
            "a T5X checkpoint (a file named checkpoint), nor a model folder of ptsys",
            field="source",
        )
    return _with_vocabulary(Incoming(model, str(source)), content)


def _with_vocabulary(incoming: Incoming, content: bytes | None) -> Incoming:
    config = incoming.model.config
    if content is None or config.tokenizer == "byt5":
        return incoming
    sentinels = count_sentinels(content, config.vocab_size)
    return dataclasses.replace(incoming, vocabulary=content, sentinels=sentinels)


def _copied(source: Path, content: bytes | None) -> Incoming:
    loaded = read_builtin(source, source.name) if is_builtin_form(source) else load_model(source)
    path = loaded.vocabulary_path
    incoming = Incoming(
        loaded.model,
        str(source),
        None if path is None else path.read_bytes(),
        loaded.sentinels,
        loaded.initialization,
        loaded.meta_prompt,
    )
    return _with_vocabulary(incoming, content)


def _with_known_vocabulary(incoming: Incoming, folder: Path) -> Incoming:
    """With the vocabulary, the shared start and the meta-prompt that a folder's own weights have,
    if those are the same and none came."""
    try:
        known = read_description(folder)
    except InvalidInput:
        return incoming  # damaged: perhaps that is why it is replaced
    if known.fingerprint != incoming.fingerprint:
        return incoming
    path = vocabulary_path(folder)
    if incoming.vocabulary is None and path is not None:
        incoming = dataclasses.replace(
            incoming, vocabulary=path.read_bytes(), sentinels=known.sentinels
        )
    if incoming.initialization is None:
        start = read_initialization(folder, known.config.d_model)
        incoming = dataclasses.replace(incoming, initialization=start)
    if incoming.meta_prompt is None:
        incoming = dataclasses.replace(incoming, meta_prompt=read_meta_prompt(folder))
    return incoming


def _read_vocabulary(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error}", field="vocabulary") from error


def _record(name: str, description: Description, *, builtin: bool) -> Model:
    return Model(
        name=name,
        fingerprint=description.fingerprint,
        source=description.source,
        parameters=description.parameters,
        d_model=description.config.d_model,
        vocab_size=description.config.vocab_size,
        builtin=builtin,
    )
