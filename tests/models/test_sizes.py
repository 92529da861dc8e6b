"""The gin files of the published sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

from ptsys.errors import InvalidInput
from ptsys.models.parameters import parameter_count
from ptsys.models.t5.gin_bindings import config_from_gin


def count_by_hand(
    vocab: int, d: int, heads: int, width: int, ff: int, encoder: int, decoder: int
) -> int:
    attention = 4 * d * heads * width
    feed_forward = 3 * d * ff
    encoders = encoder * (attention + feed_forward + 2 * d)
    decoders = decoder * (2 * attention + feed_forward + 3 * d)
    return 2 * vocab * d + encoders + decoders + 2 * d + 2 * 32 * heads


@pytest.mark.parametrize(
    ("name", "millions", "sizes"),
    [
        ("small", 76.96, (32128, 512, 6, 64, 1024, 8, 8)),
        ("base", 247.6, (32128, 768, 12, 64, 2048, 12, 12)),
        ("large", 783.2, (32128, 1024, 16, 64, 2816, 24, 24)),
        ("xl", 2849.8, (32128, 2048, 32, 64, 5120, 24, 24)),
        ("xxl", 11135.3, (32128, 4096, 64, 64, 10240, 24, 24)),
        ("byt5_small", 299.6, (384, 1472, 6, 64, 3584, 12, 4)),
    ],
)
def test_each_size_has_the_published_parameter_count(
    repository: Path, name: str, millions: float, sizes: tuple[int, ...]
) -> None:
    config = config_from_gin([repository / "gin" / "models" / f"{name}.gin"])
    found = parameter_count(config)
    assert found == count_by_hand(*sizes)
    assert abs(found / 1e6 - millions) < 0.06
    assert config.gated
    assert config.activation == "gelu"
    assert not config.tie_embeddings
    assert config.tokenizer == ("byt5" if "byt5" in name else "sentencepiece")


def test_bindings_override_a_file(repository: Path) -> None:
    tiny = repository / "gin" / "models" / "tiny.gin"
    config = config_from_gin([tiny], ["VOCAB_SIZE = 512", "T5Config.d_ff = 64"])
    assert (config.vocab_size, config.d_ff) == (512, 64)
    assert config_from_gin([tiny]).d_ff != 64  # nothing of the last call is left


@pytest.mark.parametrize(
    ("bindings", "match"),
    [
        (["T5Config.d_model = 8"], "num_heads"),
        (["T5Config.colour = 'red'"], "colour"),
        (["T5Config.d_model = "], "gin configuration"),
        (["Unknown.x = 1"], "Unknown"),
    ],
)
def test_what_gin_cannot_bind_is_invalid_input(bindings: list[str], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        config_from_gin([], bindings)


def test_an_absent_file_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.gin"):
        config_from_gin(["nowhere.gin"])


def test_import_gin_from_the_repository_is_gin_config(repository: Path) -> None:
    """A `gin/__init__.py` would shadow the package of that name."""
    assert not (repository / "gin" / "__init__.py").exists()
    script = "import gin; print(gin.__file__); gin.configurable"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    assert "site-packages" in run.stdout


def test_a_gin_file_of_the_repository_is_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_from_gin(["gin/models/small.gin"]).d_model == 512
