"""Misuse of the ports that must not type-check. Read by mypy and pyright, never run.

Every line with an ignore is an error; when one stops being an error, the ignore is unused and the check fails.
"""

from __future__ import annotations

import pickle

from tacita.disclosed import Disclosed
from tacita.hazmat import SecretKey, committed_seal
from tacita.items import Item, Message
from tacita.ports.keys import KeyContext, KeyProvider, KeyRing
from tacita.ports.log import LogStore
from tacita.ports.models import LanguageModel, RemoteEmbedder, RemoteReranker, checked_complete
from tacita.sealed import Anchor, RingEntry, SealedEvent, SealedPart, SealedRow

VAULT = bytes(32)
E = bytes(16)


def a_store_takes_sealed_events_only(store: LogStore, item: Item, message: Message, row: SealedRow) -> None:
    store.append(VAULT, 0, [b"plain bytes"], epoch=E)  # type: ignore[list-item]
    store.append(VAULT, 0, ["plain text"], epoch=E)  # type: ignore[list-item]
    store.append(VAULT, 0, [item], epoch=E)  # type: ignore[list-item]
    store.append(VAULT, 0, [message], epoch=E)  # type: ignore[list-item]
    store.append(VAULT, 0, [row], epoch=E)  # type: ignore[list-item]
    store.append(VAULT, 0, item, epoch=E)  # type: ignore[arg-type]
    store.write_snapshot(VAULT, 1, iter([b"part"]))  # type: ignore[list-item]


def a_store_knows_no_names(store: LogStore) -> None:
    store.head("ana")  # type: ignore[arg-type]
    store.drop("ana", epoch=E)  # type: ignore[arg-type]
    store.read(VAULT, user_id="ana")  # type: ignore[call-arg]


def a_sealed_value_is_final_and_frozen(event: SealedEvent, part: SealedPart) -> None:
    class Fat(SealedEvent):  # type: ignore[misc]
        text: str

    event.sealed = b"other"  # type: ignore[misc]
    part.sealed = b"other"  # type: ignore[misc]
    SealedEvent(item_tag=bytes(16), sealed="text", digest=bytes(32))  # type: ignore[arg-type]
    print(Fat)


def a_key_is_a_handle(key: SecretKey) -> None:
    bytes(key)  # type: ignore[call-overload]
    key + b""  # type: ignore[operator]
    key[0]  # type: ignore[index]
    committed_seal(b"raw key bytes", b"context", b"text")  # type: ignore[arg-type]
    # No checker sees this one; tests/attacks shows that it raises.
    pickle.dumps(key)


def a_key_provider_wraps_keys_and_not_data(provider: KeyProvider, context: KeyContext, item: Item) -> None:
    provider.wrap(b"raw key bytes", context)  # type: ignore[arg-type]
    provider.wrap(item, context)  # type: ignore[arg-type]
    provider.wrap(SecretKey.generate())  # type: ignore[call-arg]
    provider.unwrap("blob", context)  # type: ignore[arg-type]


def associated_data_cannot_be_left_out(key: SecretKey) -> None:
    committed_seal(key, b"text")  # type: ignore[call-arg]


def a_ring_keeps_wrapped_keys_only(ring: KeyRing, key: SecretKey, anchor: Anchor) -> None:
    ring.create(key)  # type: ignore[arg-type]
    RingEntry(VAULT, 1, "file:x", key, b"", anchor)  # type: ignore[arg-type]


def a_model_takes_disclosed_values_only(
    model: LanguageModel, embedder: RemoteEmbedder, reranker: RemoteReranker, item: Item, message: Message
) -> None:
    model.complete("my words")  # type: ignore[arg-type]
    model.complete(item)  # type: ignore[arg-type]
    model.complete(message)  # type: ignore[arg-type]
    embedder.embed_disclosed(["my words"])  # type: ignore[arg-type]
    reranker.score_disclosed((item.text,))  # type: ignore[arg-type]
    checked_complete(model, item.text)  # type: ignore[arg-type]


def a_disclosed_value_is_final(told: Disclosed) -> None:
    class Fat(Disclosed):  # type: ignore[misc]
        more: str

    told.everything = "x"  # type: ignore[attr-defined]
