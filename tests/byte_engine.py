"""A running engine on a tiny random model with a byte vocabulary, for folders that need one."""

from collections.abc import Iterator

import numpy as np
import pytest

from ptsys.data.vocabulary import ByteVocabulary
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import ServedModel
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.passes.frozen import freeze

WIDTH = 16


@pytest.fixture(scope="package")
def served() -> ServedModel:
    config = T5Config(
        vocab_size=384,
        d_model=WIDTH,
        num_heads=2,
        head_dim=8,
        d_ff=32,
        encoder_layers=1,
        decoder_layers=1,
        max_input_length=64,
        max_target_length=16,
        tokenizer="byt5",
    )
    start = np.random.default_rng(0).normal(size=(16, WIDTH)).astype(np.float32)
    return ServedModel("random", "0" * 16, freeze(create(config)), ByteVocabulary(), start)


@pytest.fixture(scope="package")
def engine(served: ServedModel) -> Iterator[Engine]:
    engine = Engine(served, EngineOptions(max_residents=4)).start()
    yield engine
    engine.close()
