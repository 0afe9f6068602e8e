"""`cross-encoder:FOLDER`: an exported cross-encoder that runs here, such as ms-marco-MiniLM in ONNX."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacita.errors import ConfigError
from tacita.hazmat import sha256_file
from tacita.models.runtime import open_session

_MODEL_FILES: Final = ("model.onnx", "onnx/model.onnx")
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_LONGEST: Final = 512
_CHARS: Final = 4_000
"""Of a text no more is looked at than so many characters."""
_BATCH: Final = 16


class CrossEncoder:
    """Reads `tokenizer.json` and `model.onnx` (or `onnx/model.onnx`) with one logit for a pair. Loads when first used.

    Raises ConfigError for a folder that holds no such model.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        model = next((folder / name for name in _MODEL_FILES if (folder / name).is_file()), None)
        if model is None or not (folder / "tokenizer.json").is_file():
            raise ConfigError(f"{folder} does not hold tokenizer.json and {' or '.join(_MODEL_FILES)}")
        self._model = model
        self._tokenizer_file = folder / "tokenizer.json"
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self.name = f"cross-encoder:{sha256_file(model)[:12]}"

    def _open(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                from tokenizers import Tokenizer

                tokenizer = Tokenizer.from_str(self._tokenizer_file.read_text("utf-8"))
                tokenizer.no_padding()
                tokenizer.enable_truncation(_LONGEST, strategy="only_second")
                session = open_session(self._model.read_bytes(), self._threads)
                names = {one.name for one in session.get_inputs()}
                if not names <= set(_INPUTS) or "input_ids" not in names:
                    raise ConfigError(f"the model in {self._model.parent} has other inputs than {', '.join(_INPUTS)}")
                self._loaded = tokenizer, session
            return self._loaded

    def score(self, query: str, texts: list[str], /) -> NDArray[np.float32]:
        """The logistic function of each pair's logit."""
        tokenizer, session = self._open()
        pairs = [tokenizer.encode(query[:_CHARS], text[:_CHARS]) for text in texts]
        scores = np.zeros(len(texts), np.float32)
        order = sorted(range(len(pairs)), key=lambda at: len(pairs[at].ids))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            width = max(len(pairs[at].ids) for at in chosen)
            given = {name: np.zeros((len(chosen), width), np.int64) for name in _INPUTS}
            for row, at in enumerate(chosen):
                size = len(pairs[at].ids)
                given["input_ids"][row, :size] = pairs[at].ids
                given["attention_mask"][row, :size] = 1
                given["token_type_ids"][row, :size] = pairs[at].type_ids
            wanted = {one.name for one in session.get_inputs()}
            logits = np.asarray(session.run(None, {name: given[name] for name in wanted})[0], np.float64)
            scores[chosen] = (1 / (1 + np.exp(-logits.reshape(len(chosen), -1)[:, -1]))).astype(np.float32)
        return scores


def open_cross_encoder(path: str) -> CrossEncoder:
    """The cross-encoder in a folder. Raises ConfigError."""
    return CrossEncoder(Path(path))
