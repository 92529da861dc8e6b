"""A deployment's stores on any database, and prompts of any user in them."""

from pathlib import Path
from typing import Any

import numpy as np

from ptsys.kinds.trees import Tree
from ptsys.library.library import Library
from ptsys.library.starts import write_start
from ptsys.prompts.orbax_form import write_tree
from ptsys.prompts.tokens import tokens
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.prompts import Prompts
from ptsys.types.records import Prompt

FINGERPRINT = "f" * 16
WIDTH = 8
START = np.random.default_rng(7).normal(size=(64, WIDTH)).astype(np.float32)


class LibraryStores:
    """A deployment's stores, and prompts of any user in them."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root
        self.database = Database(url)
        self.database.migrate()
        self.prompts = Prompts(self.database, root)
        self.datasets = Datasets(self.database, root)
        write_start(root, FINGERPRINT, START)
        self._opened = [self.database]

    def library(self) -> Library:
        """A library as another process would open it."""
        database = Database(self.url)
        self._opened.append(database)
        return Library(database, Prompts(database, self.root), self.root)

    def add(
        self,
        name: str,
        direction: Any = None,
        *,
        owner: str = "ann",
        length: int = 4,
        **fields: Any,
    ) -> Prompt:
        """A prompt that moved from the start into a direction, by default one of its own."""
        if direction is None:
            direction = np.random.default_rng(abs(hash(name)) % 2**32).normal(size=WIDTH)
        moved = np.asarray(direction, np.float32)
        tensor = START[-length:] + np.broadcast_to(moved, (length, WIDTH)).astype(np.float32)
        return self.add_tree(name, "tokens", tokens(tensor), owner=owner, **fields)

    def add_tree(self, name: str, kind: str, tree: Tree, **fields: Any) -> Prompt:
        """A prompt of any kind of these arrays."""
        values = {
            "id": self.prompts.new_id(),
            "name": name,
            "owner": "ann",
            "model": "m",
            "model_fingerprint": FINGERPRINT,
            "kind": kind,
            "length": max(map(len, tree.values())),
            "d_model": WIDTH,
            "created": utc_now(),
            "initialization": {"kind": "shared"},
        }
        prompt = Prompt(**{**values, **fields})
        write_tree(self.prompts.tensor_path(prompt.id), tree)
        return self.prompts.add(prompt)

    def close(self) -> None:
        for database in self._opened:
            database.close()
