"""A frozen model on the device, with everything that jobs and requests need of it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from ptsys.engine.model import ServedModel, serve
from ptsys.engine.serving import Serving
from ptsys.errors import PtsysError
from ptsys.library.starts import kept_start, write_start
from ptsys.models.loaded import LoadedModel
from ptsys.models.parameters import flat_parameters
from ptsys.models.registry import Registry
from ptsys.models.t5.config import T5Config
from ptsys.prompts.check import MAX_LENGTH
from ptsys.prompts.initialization import COMMON, initialize, shared_start
from ptsys.sharding.mesh import WHOLE, placed
from ptsys.types.training import JobSpec

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Workbench:
    """The engine's view of a frozen model, and what new prompts begin with."""

    served: ServedModel
    loaded: LoadedModel = dataclasses.field(repr=False)
    table: jax.Array = dataclasses.field(repr=False)

    @property
    def config(self) -> T5Config:
        """The model's shape."""
        return self.loaded.config

    @functools.cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """The token table [V, D] on the host; copied when first wanted."""
        return np.asarray(self.table).astype(np.float32)

    @functools.cached_property
    def common_pieces(self) -> list[int]:
        """Ids of the vocabulary's most common pieces."""
        return self.served.vocabulary.common_pieces(COMMON)

    def start(self, length: int) -> NDArray[np.float32]:
        """The start that all prompts of this length share, [length, D]."""
        return shared_start(
            length,
            embeddings=self.embeddings,
            shared=self.served.initialization,
            common_pieces=self.common_pieces,
        )

    def initial(
        self,
        spec: JobSpec,
        length: int,
        texts: Sequence[str],
        other: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Where a prompt of `length` tokens starts by this spec, [length, D]; `texts` are its
        targets, `other` the prompt that the spec names. Raises as `initialize` does."""
        return initialize(
            spec.initialization,
            length,
            spec.seed,
            embeddings=self.embeddings,
            shared=self.served.initialization,
            encode=self.served.vocabulary.encode,
            common_pieces=self.common_pieces,
            labels=[text for text, _ in collections.Counter(texts).most_common()],
            other=other,
        )


def load_workbench(
    root: Path, name: str, mesh: Mesh | None = None, serving: Serving | None = None
) -> Workbench:
    """Load a model once for this process, onto all its devices unless `mesh` names others, laid
    out as `serving` says. All processes of a mesh of several have to call it. Raises NotFound, or
    InvalidInput if the model is damaged or `serving` does not fit the devices."""
    serving = serving or Serving()
    mesh = mesh or serving.mesh(jax.local_devices())
    loaded = serving.load(Registry(root), name, mesh)
    served = serve(loaded, mesh, serving)
    table = flat_parameters(served.frozen.model())["token_embedder.embedding"]
    if not table.is_fully_addressable:
        table = jax.jit(lambda x: x, out_shardings=placed(mesh, WHOLE))(table)
    return Workbench(served, loaded, table)


def keep_start(root: Path, bench: Workbench) -> None:
    """Write where the model's prompts start for the library, which processes without the model
    read, unless it is there. What cannot be written is only told: everything else works without.
    """
    served = bench.served
    known = kept_start(root, served.fingerprint)
    if known is not None and len(known) == MAX_LENGTH:
        return
    try:
        write_start(root, served.fingerprint, bench.start(MAX_LENGTH))
    except PtsysError as error:
        logger.warning("the library is not told where prompts start: %s", error)
