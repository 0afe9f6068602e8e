"""What every local embedder shares: lazy loading, word pieces, batching and the onnxruntime session.

No model is described here and no file is looked for; nothing keeps or logs a text.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tacita.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_THREADS = 4
"""A query of a dozen word pieces gains nothing from more, and a server has other work."""

BATCH_PIECES = 256
"""Most word pieces in one run, padding included: more do not stay in a processor's own cache."""

BULK_BATCHES = 8
"""Of so many batches each is run by a thread of its own: what one message needs is less, and not worth a second session."""

CHARS_PER_PIECE = 32
"""Of a text, no more than this many characters for each piece that the model can take are looked at: about 4 are used."""

_TEXTS_AT_ONCE = 1024


class Encoder(Protocol):
    """A loaded model. Safe for threads."""

    def pooled(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """A vector of each text, of any length: (len(texts), dimensions)."""


Run = Callable[["InferenceSession", NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]
"""`ids` (b, s) right-padded, of which row i uses `lengths[i]`; gives (b, dimensions)."""


class Batched:
    """An encoder that runs texts of like length together.

    A batch alone is shared out among the threads of a session. Of many, each is run by a single thread: nobody waits for
    anybody within a run, which is worth the more, the more other work the machine has.
    """

    def __init__(
        self,
        pieces: Callable[[str], list[int]],
        run: Run,
        session: InferenceSession,
        *,
        lane: Callable[[], InferenceSession] | None = None,
        threads: int | None = None,
    ) -> None:
        """`pieces` gives a text's ids, never none. Without a `lane`, a session of one thread, batches go one by one."""
        self._pieces = pieces
        self._run = run
        self._session = session
        self._lane = lane
        self._lane_session: InferenceSession | None = None
        self._threads = threads or default_threads()

    def pooled(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """As `Encoder`."""
        pieces = [self._pieces(text) for text in texts]
        lengths = np.fromiter(map(len, pieces), np.int32, len(pieces))
        made = list(batches(lengths))

        def ran(session: InferenceSession, batch: NDArray[np.intp]) -> NDArray[np.float32]:
            ids = np.zeros((len(batch), lengths[batch].max()), np.int32)
            for row, i in zip(ids, batch, strict=True):
                row[: lengths[i]] = pieces[i]
            return self._run(session, ids, lengths[batch])

        if self._lane is None or self._threads == 1 or len(made) < BULK_BATCHES:
            found = [ran(self._session, batch) for batch in made]
        else:
            # Threads of this call only: none is left for a fork to lose.
            with ThreadPoolExecutor(min(self._threads, len(made))) as pool:
                found = list(pool.map(partial(ran, self._lane_ready(self._lane)), made))
        together = np.concatenate(found)
        rows = np.empty_like(together)
        rows[np.concatenate(made)] = together
        return rows

    def _lane_ready(self, lane: Callable[[], InferenceSession]) -> InferenceSession:
        if self._lane_session is None:
            # Two threads may both come here: one of the sessions is dropped, and no harm done.
            self._lane_session = lane()
        return self._lane_session


class LocalEmbedder(ABC):
    """Base of the in-process embedders. Loads once, when first used; safe for threads and for `os.fork`."""

    def __init__(self, name: str, dimensions: int) -> None:
        self._name = name
        self._dimensions = dimensions
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        _living.add(self)

    @property
    def name(self) -> str:
        """Names the vector space for ever."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Components of one vector."""
        return self._dimensions

    @abstractmethod
    def _load(self) -> Encoder:
        """Read, verify and start the model. Raises ConfigError if its files are not what they must be."""

    def load(self) -> None:
        """Load the model now instead of at the first `embed`. Raises ConfigError as `embed` does."""
        self._ready()

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        """Unit rows of `texts`, in order: float32 `(len(texts), dimensions)`. An empty text has a vector too.

        Raises:
            ConfigError: the model's files are missing or not the ones that were pinned.
            ModelError: the model gave something that is no vector.
        """
        encoder = self._ready()
        # A short turn and its only sentence are the same text: each is run once.
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        distinct = list(place)
        rows = np.zeros((len(distinct), self._dimensions), np.float32)
        for start in range(0, len(distinct), _TEXTS_AT_ONCE):
            self._embed(encoder, distinct[start : start + _TEXTS_AT_ONCE], rows[start : start + _TEXTS_AT_ONCE])
        return rows if len(distinct) == len(texts) else rows[[place[text] for text in texts]]

    def _embed(self, encoder: Encoder, texts: Sequence[str], rows: NDArray[np.float32]) -> None:
        pooled = encoder.pooled(texts)
        if pooled.shape != rows.shape:
            raise ModelError(f"{self._name} gave {pooled.shape[-1]} dimensions, not {self._dimensions}")
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        np.divide(pooled, norms, out=rows, where=norms > 0)

    def _ready(self) -> Encoder:
        if (encoder := self._encoder) is None:
            with self._lock:
                if (encoder := self._encoder) is None:
                    encoder = self._encoder = self._load()
        return encoder

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}, {self._dimensions} dimensions>"

    def _after_fork(self) -> None:
        # onnxruntime's threads did not survive the fork: a run would wait for them for ever, and so would the
        # session's destructor. The child keeps the old session unused and loads its own.
        self._lock = threading.Lock()
        if self._encoder is not None:
            # One reference that nothing ever drops, not even the interpreter when it ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._encoder))
            self._encoder = None


_living: weakref.WeakSet[LocalEmbedder] = weakref.WeakSet()


def _forget_sessions() -> None:
    for embedder in list(_living):
        embedder._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_sessions)


def batches(lengths: NDArray[np.int32], pieces: int = BATCH_PIECES) -> Iterator[NDArray[np.intp]]:
    """Indices of texts to run together: of like length, at most `pieces` word pieces when padded, one text at least."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        # The first is the longest, so it sets the width of the batch.
        size = max(1, pieces // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


def default_threads() -> int:
    """The processors that this process may use, at most `MAX_THREADS`."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MAX_THREADS)


def import_onnxruntime() -> Any:
    """The onnxruntime module, imported so that it reports to nobody.

    From 1.29 on its wheels start a thread at import that keeps a device identifier and a database under the user's
    cache folder and uploads process, model and timing data to its maker. The variable is their documented full
    opt-out, but only if it is set before the first import; the API call that exists comes too late.
    """
    if "onnxruntime" not in sys.modules:
        # Straight into the C environment, which is what the library reads. A write: settings are still read by
        # `tacita.config` only.
        os.putenv("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    # For the case that the host imported it first, and for Windows, where events go to the system's tracing.
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_session(
    model: bytes, threads: int | None, *, weights: Path | None = None, packed: bool = True
) -> InferenceSession:
    """An onnxruntime session on the CPU, silent and without telemetry.

    `weights` is the folder of the files that the model keeps tensors in; without it there may be none. They are mapped,
    not copied: processes share them. As with any mapped library, replacing such a file is safe and overwriting it in
    place is not. `packed` keeps a copy of the weights in the order in which they are used, 50 MB for a model of 90: a text
    alone is then run faster, a batch is not.

    Raises:
        ConfigError: onnxruntime refuses the model.
    """
    ort = import_onnxruntime()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    # Between two operators of a run a thread waits a moment on the processor, because waking it costs more than many
    # an operator takes. A long wait, onnxruntime's default, doubles a query's time as soon as other work wants the
    # processor, and one that goes on after the run takes it from the search.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.disable_prepacking", "0" if packed else "1")
    # Without a folder onnxruntime would look for such files in the current one.
    folder = os.devnull if weights is None else str(weights)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    refusals = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (*refusals, state.NoSuchFile, state.RuntimeException) as error:
        raise ConfigError(f"onnxruntime {ort.__version__} cannot run the model: {type(error).__name__}") from None


def encodable(text: str) -> str:
    """The text with replacement characters for unpaired surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class WordPieces:
    """A Hugging Face tokeniser: text to ids with the model's special tokens, cut to `longest`."""

    def __init__(self, description: bytes, longest: int) -> None:
        """`description` is the content of a `tokenizer.json`."""
        from tokenizers import Tokenizer

        # Tokenising 64 KB to keep the first thousand characters would take longer than running the model.
        self._chars = longest * CHARS_PER_PIECE
        self._tokenizer: Any = Tokenizer.from_str(description.decode("utf-8"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)

    def ids(self, text: str) -> list[int]:
        """The ids of one text. Unpaired surrogates count as replacement characters."""
        text = encodable(text[: self._chars])
        # One by one: `encode_batch` starts threads of its own, which do not survive a fork and say so on stderr.
        found: list[int] = self._tokenizer.encode(text).ids
        return found

    def id_of(self, *tokens: str) -> int | None:
        """The id of the first of `tokens` that the vocabulary has."""
        ids = (self._tokenizer.token_to_id(token) for token in tokens)
        return next((i for i in ids if i is not None), None)
