"""`onnx:FOLDER`: any sentence-transformers model that was exported to ONNX as one file.

What this cannot run exactly as it was trained is refused when it is opened, never approximated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.errors import ConfigError
from tacita.hazmat import sha256, sha256_file
from tacita.models.runtime import Batched, LocalEmbedder, WordPieces, open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_MODEL_FILES: Final = ("model.onnx", "onnx/model.onnx")
_MODULES: Final = ("Transformer", "Pooling", "Normalize")
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_LONGEST_DEFAULT: Final = 512


class _Recipe(msgspec.Struct, frozen=True):
    """What a folder's settings say beside the weights. All of it decides the vectors, so all of it is in the name."""

    pooling: str
    longest: int
    tokenizer: str
    """SHA-256 of tokenizer.json."""

    def digest(self) -> str:
        return sha256(f"{self.pooling}|{self.longest}|{self.tokenizer}".encode()).hex()


class OnnxFolder(LocalEmbedder):
    """An exported model. Its name is made of its content, so a folder may move and a changed model is another one.

    Reads `tokenizer.json`, `model.onnx` or `onnx/model.onnx`, `1_Pooling/config.json` (mean or cls),
    `sentence_bert_config.json` and `modules.json`. Rows are normalised even if the model does not ask for it.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """Reads the settings and hashes the model file (about 0.1 s for 100 MB). Raises ConfigError."""
        self._model = next((folder / name for name in _MODEL_FILES if (folder / name).is_file()), None)
        if self._model is None or not (folder / "tokenizer.json").is_file():
            raise ConfigError(f"{folder} does not hold tokenizer.json and {' or '.join(_MODEL_FILES)}")
        if not isinstance(_json(folder / "tokenizer.json").get("model"), dict):
            raise ConfigError(f"{folder / 'tokenizer.json'} does not describe a tokenizer")
        _refuse_unknown_modules(folder)
        pooling = _json(folder / "1_Pooling" / "config.json")
        config = _json(folder / "config.json")
        self._recipe = _Recipe(_pooling(folder, pooling), _longest(folder, config), _digest(folder / "tokenizer.json"))
        self._model_sha256 = _digest(self._model)
        self._folder = folder
        self._threads = threads
        dimensions = pooling.get("word_embedding_dimension", config.get("hidden_size"))
        if type(dimensions) is not int or dimensions < 1:
            raise ConfigError(f"neither 1_Pooling/config.json nor config.json in {folder} gives the dimensions")
        super().__init__(f"onnx:{self._model_sha256[:12]}/{self._recipe.digest()[:8]}", dimensions)

    @property
    def folder(self) -> Path:
        """Where the model's files are."""
        return self._folder

    def _load(self) -> Batched:
        assert self._model is not None
        model, tokenizer = _bytes(self._model), _bytes(self._folder / "tokenizer.json")
        if (sha256(model).hex(), sha256(tokenizer).hex()) != (self._model_sha256, self._recipe.tokenizer):
            raise ConfigError(f"the model in {self._folder} changed since it was opened: open it again")
        pieces = WordPieces(tokenizer, self._recipe.longest)
        session = open_session(model, self._threads)
        # Without lanes: a second session would hold the weights once more.
        return Batched(pieces.ids, _Exported(pieces, session, self._recipe.pooling, self._folder).pool, session)


class _Exported:
    def __init__(self, pieces: WordPieces, session: InferenceSession, pooling: str, folder: Path) -> None:
        self._pooling = pooling
        # RoBERTa graphs find the end of a text by this id; for the others the attention mask says it.
        self._pad = pieces.id_of("[PAD]", "<pad>") or 0
        self._inputs = {i.name: np.int32 if "int32" in i.type else np.int64 for i in session.get_inputs()}
        if not set(self._inputs) <= set(_INPUTS) or "input_ids" not in self._inputs:
            raise ConfigError(f"the model in {folder} has other inputs than {', '.join(_INPUTS)}")
        self._output, self._pooled = _output(session, folder)

    def pool(
        self, session: InferenceSession, ids: NDArray[np.int32], lengths: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        used = np.arange(ids.shape[1]) < lengths[:, None]
        given = {
            "input_ids": np.where(used, ids, self._pad),
            "attention_mask": used,
            "token_type_ids": np.zeros_like(ids),
        }
        run = session.run([self._output], {name: given[name].astype(kind) for name, kind in self._inputs.items()})
        states = np.asarray(run[0], np.float32)
        if self._pooled:
            return states
        if self._pooling == "cls":
            return states[:, 0]
        mean: NDArray[np.float32] = np.einsum("bsd,bs->bd", states, used.astype(np.float32)) / lengths[:, None]
        return mean.astype(np.float32, copy=False)


def _output(session: InferenceSession, folder: Path) -> tuple[str, bool]:
    """The output to use and whether the exporter already pooled it."""
    ranks = {o.name: len(o.shape) for o in session.get_outputs()}
    if ranks.get("sentence_embedding") == 2:
        return "sentence_embedding", True
    for name in ("last_hidden_state", "token_embeddings", *ranks):
        if ranks.get(name) == 3:
            return name, False
    raise ConfigError(f"the model in {folder} has no output of word-piece vectors (batch, sequence, dimensions)")


def _refuse_unknown_modules(folder: Path) -> None:
    modules = _json(folder / "modules.json", list)
    kinds = [str(m.get("type", "")).rpartition(".")[2] for m in modules if isinstance(m, dict)]
    if unknown := [kind for kind in kinds if kind not in _MODULES]:
        raise ConfigError(f"the model in {folder} has a module that is not supported: {unknown[0][:64]}")
    prompts = _json(folder / "config_sentence_transformers.json")
    if prompts.get("default_prompt_name") is not None:
        raise ConfigError(f"the model in {folder} puts a prompt before every text, which is not supported")


def _pooling(folder: Path, config: dict[str, Any]) -> str:
    modes = {key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on}
    if isinstance(config.get("pooling_mode"), str):
        modes = {config["pooling_mode"]}
    known = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(modes) != 1 or not modes <= set(known):
        raise ConfigError(f"1_Pooling/config.json in {folder} must choose mean or cls pooling")
    return known[modes.pop()]


def _longest(folder: Path, config: dict[str, Any]) -> int:
    longest = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    if longest is None:
        longest = min(_LONGEST_DEFAULT, config.get("max_position_embeddings") or _LONGEST_DEFAULT)
    # Two are the special tokens at the ends.
    if type(longest) is not int or longest < 3:
        raise ConfigError(f"sentence_bert_config.json in {folder} gives no usable max_seq_length")
    return longest


def _json(path: Path, kind: type = dict) -> Any:
    """The settings in a file, empty if there is none. Raises ConfigError if they are not JSON of that kind."""
    if not path.is_file():
        return kind()
    try:
        content = json.loads(_bytes(path))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, kind):
        raise ConfigError(f"{path} is not what a sentence-transformers model has there")
    return content


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
