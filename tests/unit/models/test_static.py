"""`local:minilm-static` is made once, is what its name says, and gives nobody a vector that is not its own."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tacita import Memory
from tacita.errors import ConfigError
from tacita.hazmat import sha256
from tacita.models import distil, open_embedder, static, table
from tacita.models.fetch import models_status
from tacita.models.minilm import DIMENSIONS, TOKENIZER, WEIGHTS, MiniLM, encode_alone, read_pinned
from tacita.models.runtime import WordPieces
from tacita.models.static import FOLDER, TABLE, StaticMiniLM
from tacita.models.table import Head
from tacita.models.words import PlainWords
from tacita.ports.models import Embedder, checked_embed
from tacita.surfaces.cli import app

PIECES = 30_522
HEAD = 112
"""Bytes of a table's header."""


@pytest.fixture(scope="session")
def tokenizer(model_folder: Path) -> bytes:
    return read_pinned(model_folder, TOKENIZER)


@pytest.fixture(scope="session")
def words(tokenizer: bytes) -> PlainWords:
    return PlainWords(tokenizer, 256)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tokenizer: bytes) -> Path:
    """A models folder with a table that needs no run of the model: noise, weighted as distilled vectors are."""
    folder = tmp_path_factory.mktemp("models") / FOLDER
    folder.mkdir()
    (folder / TOKENIZER.file).write_bytes(tokenizer)
    alone = np.random.default_rng(7).standard_normal((PIECES, DIMENSIONS)).astype(np.float32)
    put(folder / TABLE, distil.table_of(alone, PlainWords(tokenizer, 256).vocabulary))
    return folder.parent


def put(path: Path, rows: np.ndarray, *, weights: str = WEIGHTS.sha256) -> Head:
    return table.write(path, rows, weights=weights, tokenizer=TOKENIZER.sha256)


def copy(made: Path, target: Path) -> Path:
    folder = target / FOLDER
    folder.mkdir()
    for file in (TABLE, TOKENIZER.file):
        (folder / file).write_bytes((made / FOLDER / file).read_bytes())
    return folder


def test_it_is_an_embedder_of_unit_rows(made: Path) -> None:
    embedder = open_embedder("local:minilm-static", models_dir=made)
    assert isinstance(embedder, StaticMiniLM)
    assert isinstance(embedder, Embedder)
    assert embedder.dimensions == distil.KEPT
    texts = ["I'm allergic to penicillin.", "", " \n", "\x00", "\U0001f600", "漢字", "\ud800", "[SEP]", "x" * 9_000]
    rows = checked_embed(embedder, [*texts, texts[0], "word " * 700])
    assert (rows[0] == rows[len(texts)]).all()
    # What has no pieces is one and the same nothing.
    assert (rows[1] == rows[2]).all()
    assert embedder.embed([]).shape == (0, distil.KEPT)


def test_a_text_has_the_same_vector_in_any_company(made: Path) -> None:
    embedder = StaticMiniLM.find(made)
    texts = [f"{'turn ' * (i % 40)}number {i} of Anna's naïve list" for i in range(150)]
    together = embedder.embed(texts)
    for text, row in zip(texts, together, strict=True):
        assert (embedder.embed([text])[0] == row).all()


def test_the_name_is_that_of_the_table(made: Path, tmp_path: Path) -> None:
    folder = copy(made, tmp_path)
    first = StaticMiniLM(folder)
    digest = sha256((folder / TABLE).read_bytes()[HEAD:]).hex()
    assert first.name == f"local:minilm-static/v1/{digest[:16]}"
    rows = table.read(folder / TABLE, table.read_head(folder / TABLE)).copy()
    rows[2_000, 3] = np.nextafter(rows[2_000, 3], np.float16(9))
    put(folder / TABLE, rows)
    assert StaticMiniLM(folder).name != first.name
    # And who has opened the first does not go on with the second under its name.
    with pytest.raises(ConfigError, match="was changed since"):
        first.embed(["text"])


@pytest.mark.parametrize("at", [HEAD, HEAD + 9_999, -1])
def test_one_changed_byte_is_refused(made: Path, tmp_path: Path, at: int) -> None:
    folder = copy(made, tmp_path)
    content = bytearray((folder / TABLE).read_bytes())
    content[at] ^= 1
    (folder / TABLE).write_bytes(content)
    with pytest.raises(ConfigError, match="run `tacita models distil`"):
        StaticMiniLM(folder).load()


@pytest.mark.parametrize("change", [-1, 1])
def test_another_size_is_refused(made: Path, tmp_path: Path, change: int) -> None:
    folder = copy(made, tmp_path)
    content = (folder / TABLE).read_bytes()
    (folder / TABLE).write_bytes(content[:change] if change < 0 else content + b"\0")
    with pytest.raises(ConfigError, match="run `tacita models distil`"):
        StaticMiniLM(folder).load()


def test_a_table_that_is_shorter_than_it_says_is_refused(made: Path, tmp_path: Path) -> None:
    """Found by fuzzing: the digest was that of the few bytes that were there."""
    folder = copy(made, tmp_path)
    content = (folder / TABLE).read_bytes()
    body = content[HEAD:-2]
    (folder / TABLE).write_bytes(content[: HEAD - 32] + sha256(body) + body)
    with pytest.raises(ConfigError, match="run `tacita models distil`"):
        StaticMiniLM(folder).load()


def test_a_table_of_other_weights_or_of_no_sense_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copy(made, tmp_path)
    head = (folder / TABLE).read_bytes()[:HEAD]
    put(folder / TABLE, np.zeros((3, 4), np.float16), weights="00" * 32)
    with pytest.raises(ConfigError, match="made from another model"):
        StaticMiniLM(folder)
    for wrong in (b"", b"NOTATABLE" + head[9:], head[:8] + struct.pack("<II", 0, 4) + head[16:], head[:60]):
        (folder / TABLE).write_bytes(wrong)
        with pytest.raises(ConfigError, match="no table of this version"):
            StaticMiniLM(folder)


def test_a_changed_tokenizer_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copy(made, tmp_path)
    (folder / TOKENIZER.file).write_bytes((folder / TOKENIZER.file).read_bytes() + b" ")
    with pytest.raises(ConfigError, match=TOKENIZER.file):
        StaticMiniLM(folder).load()


def test_without_a_table_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not made yet: run `tacita models distil`"):
        open_embedder("local:minilm-static", models_dir=tmp_path)
    (tmp_path / FOLDER / TABLE).mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot read"):
        open_embedder("local:minilm-static", models_dir=tmp_path)


@pytest.mark.slow
def test_distilling_makes_a_table_once_and_the_same_again(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, with the model run for the first two batches and noise for the rest."""
    runs: list[int] = []
    encode = encode_alone(model_folder)
    noise = np.random.default_rng(3).standard_normal((512, DIMENSIONS)).astype(np.float32)

    def quick(folder: Path) -> object:
        def alone(pieces: np.ndarray) -> np.ndarray:
            runs.append(len(pieces))
            return encode(pieces) if len(runs) % 60 in (1, 2) else noise[: len(pieces)]

        return alone

    monkeypatch.setattr(distil, "encode_alone", quick)
    told: list[tuple[int, int | None]] = []
    first = distil.distil(tmp_path / "a", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (PIECES, PIECES)
    assert sum(runs) == PIECES
    folder = tmp_path / "a" / FOLDER
    assert sorted(path.name for path in folder.iterdir()) == sorted([TABLE, TOKENIZER.file])
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    before = len(runs)
    assert distil.distil(tmp_path / "a").name == first.name
    assert len(runs) == before, "what is there and sound is kept"
    assert distil.distil(tmp_path / "b").name == first.name
    (folder / TABLE).write_bytes(b"half")
    assert distil.distil(tmp_path / "a").name == first.name


def test_distilling_needs_the_model_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "places", lambda models_dir: iter([models_dir / "minilm"]))
    with pytest.raises(ConfigError, match="run `tacita models fetch` first"):
        distil.distil(tmp_path)


def test_one_piece_alone_is_what_the_model_says_of_it(model_folder: Path) -> None:
    rows = encode_alone(model_folder)(np.array([7_592, 2_088], np.int32))
    assert rows.shape == (2, DIMENSIONS)
    whole = MiniLM(model_folder).embed(["hello", "world"])
    cosines = rows / np.linalg.norm(rows, axis=1, keepdims=True) @ whole.T
    # `embed` gives the mean of [CLS] x [SEP], of which this is the middle.
    assert min(cosines[0, 0], cosines[1, 1]) > 0.7 > 0.5 > max(cosines[0, 1], cosines[1, 0])


def test_frequent_pieces_count_less(words: PlainWords) -> None:
    vocabulary = words.vocabulary
    weight = dict(zip(vocabulary, distil.weights_of(vocabulary).tolist(), strict=True))
    assert weight["the"] < weight["she"] < weight["doctor"] < weight["violinist"] <= 1
    assert weight["."] == weight["'"] == weight["the"]
    assert weight["漢"] > weight["the"]


@given(st.text(max_size=60) | st.text(alphabet="aZ09 '.-_[]CLSEPunk\t\n\r\x00\x0b\x1f\x7fé", max_size=40))
@example("[CLS] x [SEP] [sep] [UNK]")
@example("don't   STOP: e-mail a_b@c.d, 3.14!\r\nprix")
@example("a\x00b \x0b c\x1cd")
@example("antidisestablishmentarianism " + "z" * 101)
def test_the_ids_are_the_tokenizers_own(words: PlainWords, tokenizer: bytes, text: str) -> None:
    ids, lengths = words.ids([text, "a word", text])
    expected = WordPieces(tokenizer, 258).ids(text)[1:-1]
    own = ids.tolist()
    assert lengths.tolist() == [len(expected), 2, len(expected)]
    assert own[: len(expected)] == expected == own[len(expected) + 2 :]


def test_no_more_than_the_longest_is_used(tokenizer: bytes) -> None:
    ids, lengths = PlainWords(tokenizer, 5).ids(["one two three four five six", "é " * 9, "one"])
    assert lengths.tolist() == [5, 5, 1]
    assert len(ids) == 11


def test_a_vault_of_another_table_is_searched_by_words_until_it_is_embedded_anew(made: Path, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", copy(made, tmp_path)
    put(folder / TABLE, table.read(folder / TABLE, table.read_head(folder / TABLE)) * np.float16(2))
    first, second = StaticMiniLM.find(made), StaticMiniLM(folder)
    assert second.name != first.name

    def said_of_meaning(memory: Memory) -> bool:
        (found,) = memory.search("penicillin allergy", user_id="ana", explain=True)
        return any(signal.name == "dense" for signal in found.signals)

    with Memory(home, embedder=first) as memory:
        memory.add("I'm allergic to penicillin.", user_id="ana")
        assert said_of_meaning(memory)
        assert memory.reindex() == 0
    with Memory(home, embedder=second) as memory:
        assert not said_of_meaning(memory)
        assert memory.reindex() == 1
        assert said_of_meaning(memory)


def test_the_status_tells_of_it(made: Path, tmp_path: Path) -> None:
    statuses = {status.uri: status for status in models_status(made)}
    found = statuses["local:minilm-static"]
    assert (found.present, found.verified, found.path) == (True, True, made / FOLDER)
    assert found.name == StaticMiniLM.find(made).name
    assert found.bytes == (made / FOLDER / TABLE).stat().st_size + TOKENIZER.bytes
    folder = copy(made, tmp_path)
    (folder / TABLE).write_bytes((folder / TABLE).read_bytes()[:-1])
    damaged = {status.uri: status for status in models_status(tmp_path)}["local:minilm-static"]
    assert (damaged.present, damaged.verified) == (True, False)
    absent = {status.uri: status for status in models_status(tmp_path / "none")}["local:minilm-static"]
    assert (absent.name, absent.path, absent.present) == (static.NAME, None, False)


def test_the_command_makes_it_and_says_its_name(made: Path, tmp_path: Path) -> None:
    copy(made, tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(f'{{"models_folder": "{tmp_path}", "home": "{tmp_path}/home"}}', encoding="ascii")
    ran = CliRunner().invoke(app, ["--config", str(settings), "models", "distil"])
    assert ran.exit_code == 0, ran.output
    assert f"{StaticMiniLM(tmp_path / FOLDER).name} is ready" in ran.output
