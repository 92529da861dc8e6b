"""Models by name: importing each kind of source, and the built-in ones."""

import io
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.models import registry as registry_module
from ptsys.models.builtin_format import write_builtin
from ptsys.models.checkpoint import save_model
from ptsys.models.fingerprint import fingerprint
from ptsys.models.registry import Registry, load_builtin
from ptsys.models.t5.hugging_face import export_hugging_face
from ptsys.models.t5.network import T5


@pytest.fixture(scope="module")
def pieces() -> bytes:
    """A SentencePiece file of 60 pieces in T5's layout."""
    words = ["a prompt stands for a task", "the model never changes", "rows share one pass"]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 20),
        model_writer=model,
        vocab_size=60,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "root")


@pytest.fixture
def builtin(model: T5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry_module, "BUILTIN", tmp_path / "package")
    write_builtin(
        model,
        tmp_path / "package" / "mini",
        vocabulary=b"v",
        initialization=np.ones((4, 32), np.float32),
    )
    return "mini"


def test_a_hugging_face_folder_is_imported_with_its_vocabulary(
    model: T5, registry: Registry, tmp_path: Path, pieces: bytes
) -> None:
    export_hugging_face(model, tmp_path / "hf")
    (tmp_path / "hf" / "spiece.model").write_bytes(pieces)
    record = registry.import_model(tmp_path / "hf", "mine")
    assert record in registry.list()
    assert registry.describe("mine") == record
    assert (record.name, record.builtin, record.d_model) == ("mine", False, 32)
    loaded = registry.load("mine")
    assert loaded.name == "mine"
    assert loaded.fingerprint == record.fingerprint == fingerprint(model)
    assert loaded.vocabulary_path is not None
    assert loaded.vocabulary_path.read_bytes() == pieces
    count = sentencepiece.SentencePieceProcessor(model_proto=pieces).get_piece_size()
    assert loaded.sentinels == 96 - count


def test_a_real_t5x_checkpoint_is_imported(registry: Registry, shared_data: Path) -> None:
    source = shared_data / "prompt_tuning"
    record = registry.import_model(
        source / "test_t5_1_1_tiny",
        "real",
        vocabulary=source / "t5_vocab",
        relative_max_distance=8,
    )
    loaded = registry.load("real")
    assert (record.vocab_size, loaded.config.relative_max_distance) == (32128, 8)
    assert loaded.sentinels == 100


def test_our_own_folders_are_imported_with_all_they_hold(
    model: T5, registry: Registry, tmp_path: Path
) -> None:
    start = np.ones((3, 32), np.float32)
    save_model(model, tmp_path / "orbax", b"v", initialization=start, sentinels=5)
    write_builtin(
        model,
        tmp_path / "compact",
        vocabulary=b"v",
        initialization=start,
        sentinels=5,
        storage="float32",
    )
    for source in ("orbax", "compact"):
        registry.import_model(tmp_path / source, source)
        loaded = registry.load(source)
        assert loaded.fingerprint == fingerprint(model)
        assert loaded.sentinels == 5
        assert loaded.vocabulary_path is not None
        np.testing.assert_array_equal(loaded.initialization, start)


def test_built_in_models_come_first_and_cannot_be_shadowed(
    model: T5, registry: Registry, builtin: str
) -> None:
    registry.add(model, "aaa")
    assert [(x.name, x.builtin) for x in registry.list()] == [("mini", True), ("aaa", False)]
    loaded = registry.load(builtin)
    assert loaded.fingerprint == load_builtin(builtin).fingerprint
    assert loaded.initialization is not None
    with pytest.raises(Conflict, match="built in"):
        registry.add(model, builtin)


def test_a_name_serves_once(model: T5, registry: Registry, tmp_path: Path) -> None:
    export_hugging_face(model, tmp_path / "hf")
    registry.import_model(tmp_path / "hf", "mine")
    with pytest.raises(Conflict, match="'mine' already"):
        registry.import_model(tmp_path / "hf", "mine")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 101])
def test_names_that_are_no_names_are_refused(
    model: T5, registry: Registry, name: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as error:
        registry.add(model, name)
    assert error.value.field == "name"
    with pytest.raises(NotFound):
        registry.load(name)
    assert not (tmp_path / "root").exists()


def test_an_unknown_model_is_not_found_and_the_known_are_told(
    model: T5, registry: Registry, builtin: str
) -> None:
    with pytest.raises(NotFound, match=r"no model 'other'; there are: mini"):
        registry.load("other")
    with pytest.raises(NotFound):
        load_builtin("other")


def test_a_source_of_no_known_kind_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a folder"):
        registry.import_model(tmp_path / "nowhere", "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="neither a Hugging Face folder"):
        registry.import_model(tmp_path / "empty", "x")


def test_a_vocabulary_that_does_not_fit_is_refused_before_anything_is_kept(
    model: T5, registry: Registry, tmp_path: Path, shared_data: Path
) -> None:
    export_hugging_face(model, tmp_path / "hf")
    too_large = shared_data / "prompt_tuning" / "t5_vocab"
    (tmp_path / "text").write_text("no vocabulary")
    for path, match in (
        (too_large, "32000 pieces but the model embeds 96"),
        (tmp_path / "text", "not a SentencePiece model file"),
        (tmp_path / "absent", "cannot be read"),
    ):
        with pytest.raises(InvalidInput, match=match) as error:
            registry.import_model(tmp_path / "hf", "mine", vocabulary=path)
        assert error.value.field == "vocabulary"
    assert registry.list() == [x for x in registry.list() if x.builtin]


def test_a_damaged_folder_does_not_hide_the_others(
    model: T5, registry: Registry, tmp_path: Path, builtin: str
) -> None:
    registry.add(model, "good")
    (tmp_path / "root" / "models" / "bad").mkdir()
    assert [x.name for x in registry.list()] == ["mini", "good"]
    with pytest.raises(InvalidInput):
        registry.load("bad")
