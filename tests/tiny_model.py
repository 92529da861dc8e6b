"""A random T5 of the smallest size, with a SentencePiece vocabulary of its own."""

import random
from pathlib import Path

from ptsys.data.vocabulary_training import train_vocabulary
from ptsys.models.registry import Registry
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.types.example import Example

NAME = "mini"
D_MODEL = 32
_PIECES, _SENTINELS = 304, 16
_TEXT = (
    "red green blue small large round square hot cold old new bright dark quick slow river stone "
    "house garden window table music paper silver copper morning evening winter summer north"
)
_WORDS = _TEXT.split()

CONFIG = T5Config(
    vocab_size=_PIECES + _SENTINELS,
    d_model=D_MODEL,
    num_heads=2,
    head_dim=16,
    d_ff=64,
    encoder_layers=1,
    decoder_layers=1,
    max_input_length=64,
    max_target_length=8,
)


def write_tiny_model(root: Path) -> None:
    """Put the model under `<root>/models/mini`."""
    draw = random.Random(0)
    lines = [" ".join(draw.choices(_WORDS, k=9)) for _ in range(400)]
    path = root / "vocabulary.model"
    train_vocabulary(lines, path, _PIECES)
    Registry(root).add(
        create(CONFIG, seed=3),
        NAME,
        source="a test",
        vocabulary=path.read_bytes(),
        sentinels=_SENTINELS,
    )


def rows(count: int = 48, seed: int = 1) -> list[Example]:
    """A task that a prompt can learn to some degree: the first of three words decides."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        words = draw.choices(_WORDS, k=3)
        made.append(Example(" ".join(words), "red" if words[0] < "paper" else "blue"))
    return made
