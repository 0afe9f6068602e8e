"""A vault's folded state as sealed parts of at most 1 MiB, and back: a cold opening is one sequential read.

A snapshot is a cache. Whatever is wrong with one, the answer is None and the caller folds the log instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tacita import limits
from tacita.errors import Tampered
from tacita.hazmat import random_bytes
from tacita.ports.log import LogStore
from tacita.sealed import SealedPart
from tacita.vault.events import ITEM_ID_BYTES
from tacita.vault.fold import ROW, DerivedIndex, VaultState
from tacita.vault.format import SNAPSHOT_ID_BYTES, VaultKeys, open_part, seal_part

LAYOUT = 7
"""Bumped whenever the arrays change; a snapshot of another layout is rebuilt."""

Index = TypeVar("Index", bound=DerivedIndex)

log = logging.getLogger("tacita.vault")

_DTYPES = frozenset(
    np.dtype(kind).str for kind in ("u1", "?", "u2", "u4", "i4", "i8", "f2", "f4", "f8", "i1", "i2", "u8")
)
_UNUSABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError, RecursionError)
"""What numbers and columns that nobody of ours wrote can end in. Errors of the store are none of these."""


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    layout: int
    index: str
    arrays: list[tuple[str, str, list[int]]]
    """(name, dtype, shape) in the order in which the raw bytes follow."""
    columns: dict[str, Any]


_manifest_decoder = msgspec.msgpack.Decoder(_Manifest)


def write(store: LogStore, keys: VaultKeys, chains: bytearray, state: VaultState[Any], *, index_version: str) -> None:
    """Seal the state and replace the vault's snapshot. The state must be settled and hold no dead rows."""
    arrays: dict[str, NDArray[Any]] = {
        "chains": np.frombuffer(chains, np.uint8),
        "rows": state.rows,
        "ids": np.frombuffer(b"".join(state.ids), np.uint8),
        **_pack_texts(state.texts),
        **{f"index.{name}": array for name, array in state.index.arrays().items()},
    }
    described = [(name, array.dtype.str, list(array.shape)) for name, array in arrays.items()]
    # A structured dtype's str is opaque ("|V86"); its layout is fixed by LAYOUT.
    manifest = msgspec.msgpack.encode(_Manifest(LAYOUT, index_version, described, state.columns()))
    upto_seq = len(chains) // 32 - 1
    buffers: list[Any] = [len(manifest).to_bytes(8), manifest]
    buffers += [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays.values()]
    store.write_snapshot(keys.vault_id, upto_seq, _seal_parts(keys, upto_seq, buffers))


def _seal_parts(keys: VaultKeys, upto_seq: int, buffers: list[Any]) -> Iterator[SealedPart]:
    snapshot_id = random_bytes(SNAPSHOT_ID_BYTES)
    piece = bytearray()
    part = 0
    for buffer in buffers:
        view = memoryview(buffer)
        while len(view):
            taken = view[: limits.SNAPSHOT_PART_BYTES - len(piece)]
            piece += taken
            view = view[len(taken) :]
            if len(piece) == limits.SNAPSHOT_PART_BYTES:
                yield seal_part(keys, snapshot_id, upto_seq, part, bytes(piece))
                part += 1
                piece.clear()
    yield seal_part(keys, snapshot_id, upto_seq, part, bytes(piece))


class _PartReader:
    """The parts' plaintext as one stream that fills buffers, one part in RAM at a time."""

    def __init__(self, keys: VaultKeys, upto_seq: int, parts: Iterator[SealedPart]) -> None:
        self._keys, self._upto_seq, self._parts = keys, upto_seq, parts
        self._next = 0
        self._snapshot_id: bytes | None = None
        self._view = memoryview(b"")

    def fill(self, target: memoryview) -> None:
        done = 0
        while done < len(target):
            if not self._view:
                self._view = memoryview(self._open_next())
            taken = self._view[: len(target) - done]
            target[done : done + len(taken)] = taken
            self._view = self._view[len(taken) :]
            done += len(taken)

    def take(self, count: int) -> bytes:
        # Grows with what is there: a count is only what somebody wrote.
        taken = bytearray()
        while len(taken) < count:
            if not self._view:
                self._view = memoryview(self._open_next())
            piece = self._view[: count - len(taken)]
            taken += piece
            self._view = self._view[len(piece) :]
        return bytes(taken)

    def finish(self) -> None:
        """Read to the end, where nothing may be left: a read that is abandoned costs the store its connection."""
        left = len(self._view)
        for part in self._parts:
            left += len(self._opened(part))
        if left:
            raise Tampered(f"vault {self._keys.name}: the snapshot holds more than it says")

    def _open_next(self) -> bytes:
        return self._opened(next(self._parts, None))

    def _opened(self, part: SealedPart | None) -> bytes:
        if part is None or part.part != self._next:
            raise Tampered(f"vault {self._keys.name}: snapshot part {self._next} is missing")
        snapshot_id, body = open_part(self._keys, self._upto_seq, part)
        if self._snapshot_id not in (None, snapshot_id):
            raise Tampered(f"vault {self._keys.name}: parts of two snapshots are mixed")
        self._snapshot_id = snapshot_id
        self._next += 1
        return body


def read(
    store: LogStore,
    keys: VaultKeys,
    load_index: Callable[[Mapping[str, NDArray[Any]]], Index],
    *,
    index_version: str,
) -> tuple[bytearray, VaultState[Index]] | None:
    """(chain values, state) from the stored snapshot, or None when there is none that holds."""
    found = store.read_snapshot(keys.vault_id)
    if found is None:
        return None
    upto_seq, parts = found
    try:
        reader = _PartReader(keys, upto_seq, parts)
        size = int.from_bytes(reader.take(8))
        if size > limits.SNAPSHOT_PART_BYTES * 4096:
            raise Tampered(f"vault {keys.name}: snapshot manifest of {size} bytes")
        manifest = _manifest_decoder.decode(reader.take(size))
        if manifest.layout != LAYOUT or manifest.index != index_version:
            return None
        arrays = {}
        for name, dtype, shape in manifest.arrays:
            if dtype not in _DTYPES and name != "rows":
                raise Tampered(f"vault {keys.name}: snapshot array of an unknown type")
            array = np.empty(shape, ROW if name == "rows" else np.dtype(dtype))
            reader.fill(array.reshape(-1).view(np.uint8).data)
            arrays[name] = array
        reader.finish()
        return _unpacked(upto_seq, manifest, arrays, load_index)
    except (Tampered, *_UNUSABLE) as error:
        log.warning("vault %s: snapshot not usable, rebuilding from the log (%s)", keys.name, type(error).__name__)
        return None


def _unpacked(
    upto_seq: int,
    manifest: _Manifest,
    arrays: Mapping[str, NDArray[Any]],
    load_index: Callable[[Mapping[str, NDArray[Any]]], Index],
) -> tuple[bytearray, VaultState[Index]] | None:
    chains = bytearray(arrays["chains"].tobytes())
    if len(chains) != 32 * (upto_seq + 1):
        return None
    ids = arrays["ids"].tobytes()
    state = VaultState.from_columns(
        manifest.columns,
        arrays["rows"],
        _unpack_texts(arrays),
        [ids[start : start + ITEM_ID_BYTES] for start in range(0, len(ids), ITEM_ID_BYTES)],
        load_index({name[6:]: array for name, array in arrays.items() if name.startswith("index.")}),
    )
    return chains, state


def _pack_texts(texts: list[str]) -> dict[str, NDArray[Any]]:
    # Lengths in code points, so that unpacking decodes the whole once and slices: 4x quicker than piecewise decoding.
    return {
        "text_lengths": np.fromiter(map(len, texts), np.uint32, len(texts)),
        "text": np.frombuffer("".join(texts).encode(), np.uint8),
    }


def _unpack_texts(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    whole = arrays["text"].tobytes().decode()
    ends = accumulate(arrays["text_lengths"].tolist(), initial=0)
    return [whole[start:end] for start, end in pairwise(ends)]
