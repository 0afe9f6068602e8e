"""A target that cannot fail proves nothing: each is shown a parser that was broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from fuzzing import kit, models, sealed
from fuzzing.kit import MARKER, Broken
from fuzzing.targets import TARGETS

from tacita import _home, addresses, importers, operations
from tacita.access import audit
from tacita.config import settings
from tacita.errors import ConfigError, InvalidInput, Tampered
from tacita.flows import archive, filters, ids, parse, receipts
from tacita.importers import chatgpt, export, locomo, openai, transcript
from tacita.models import table
from tacita.models.pictures import AllowedHosts
from tacita.pipeline import facts, pictures, reply
from tacita.stores import _dynamo_layout, _redis_rows, anchor_http
from tacita.stores.sqlite import SqliteLogStore
from tacita.vault import fold, keyring, mirror, moved, snapshot
from tacita.vectors import _place


class Sabotage(Exception):
    """No error of the library's own."""


PARSERS: dict[str, tuple[Any, str]] = {
    "event-bytes": (sealed, "open_event"),
    "part-bytes": (sealed, "open_part"),
    "event-body": (sealed, "decode"),
    "fold": (fold.VaultState, "apply"),
    "snapshot-body": (snapshot, "_unpack_texts"),
    "archive": (archive, "decode"),
    "receipt": (receipts, "signed_by"),
    "anchor-mirror": (mirror, "equal"),
    "audit": (audit, "decode"),
    "key-ring": (keyring.Keys, "whose"),
    "sqlite-file": (SqliteLogStore, "_vaults"),
    "sqlite-rows": (SqliteLogStore, "_fetch"),
    "ring-rows": (keyring.Keys, "whose"),
    "filters": (filters, "_typed"),
    "messages": (parse, "parse_metadata"),
    "item-id": (ids, "parse_id"),
    "requests": (operations, "_run"),
    "import-openai": (openai, "content_of"),
    "import-chatgpt": (chatgpt, "_branch"),
    "import-locomo": (locomo, "_turn"),
    "import-export": (export, "_draft"),
    "import-transcript": (transcript, "turn_start"),
    "import-auto": (importers, "_detect"),
    "model-reply": (reply, "_depth"),
    "rerank-scores": (models, "_scores"),
    "static-table": (table, "_head"),
    "picture-parts": (pictures, "_located"),
    "picture-fetch": (AllowedHosts, "_checked"),
    "config-file": (settings, "_absolute"),
    "environment": (settings, "refuse_literal_secrets"),
    "model-uri": (addresses, "http_parts"),
    "store-uri": (addresses, "check_reference"),
    "key-uri": (addresses, "http_parts"),
    "vector-uri": (_place, "options_of"),
    "anchor-uri": (anchor_http, "http_parts"),
    "redis-values": (_redis_rows, "SealedRow"),
    "dynamo-items": (_dynamo_layout, "number"),
    "migration-mark": (moved.Mark, "refuses"),
}


_COUNT = count()


def _raising(error: Exception) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    return broken


def _run_all(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


def test_every_target_is_shown_one() -> None:
    assert PARSERS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", PARSERS)
def test_a_foreign_error_is_a_finding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = list(TARGETS[name].seeds())
    monkeypatch.setattr(*PARSERS[name], _raising(Sabotage()))

    def run() -> None:
        for seed in seeds:
            TARGETS[name].run(seed)

    with pytest.raises(Sabotage):
        run()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("event-body", Tampered),
        ("fold", Tampered),
        ("archive", Tampered),
        ("receipt", Tampered),
        ("audit", Tampered),
        ("filters", InvalidInput),
        ("messages", InvalidInput),
        ("item-id", InvalidInput),
        ("requests", InvalidInput),
        ("import-openai", InvalidInput),
        ("config-file", ConfigError),
        ("key-uri", ConfigError),
        ("dynamo-items", Tampered),
    ],
)
def test_a_message_with_content_is_a_finding(
    name: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*PARSERS[name], _raising(error(f"cannot read {MARKER}")))
    with pytest.raises(Broken, match="carries content"):
        _run_all(name)


def test_content_behind_an_error_is_a_finding() -> None:
    def quoting() -> None:
        try:
            raise ValueError(MARKER)
        except ValueError as error:
            raise InvalidInput("no") from error

    with pytest.raises(Broken, match="carries content"):
        kit.attempt(quoting, InvalidInput)


@pytest.mark.parametrize(
    ("name", "where", "broken"),
    [
        ("event-bytes", (sealed, "open_event"), lambda *_: b"forged"),
        ("part-bytes", (sealed, "open_part"), lambda *_: (b"s", b"forged")),
        ("event-body", (sealed, "encode"), lambda _: b"\x84\xa1e\xa7consent\xa2at\x01\xa5actor\xa1a\xa6models\xc3"),
        ("receipt", (receipts, "signed_by"), lambda *_: True),
        ("filters", (filters, "evaluate"), lambda _, state: np.ones(len(state), np.bool_)),
        ("item-id", (ids, "format_id"), lambda _: "00000000-0000-0000-0000-000000000000"),
        ("import-openai", (openai.Keys, "key"), lambda *_: str(next(_COUNT))),
        ("model-reply", (facts, "locate"), lambda *_: (0, 10**6)),
        ("picture-fetch", (AllowedHosts, "_public_address"), lambda *_: "10.0.0.1"),
        *(
            (name, (addresses, "is_loopback"), lambda _: True)
            for name in ("store-uri", "key-uri", "vector-uri", "anchor-uri")
        ),
        ("migration-mark", (moved.Mark, "refuses"), lambda *_: None),
        ("dynamo-items", (_dynamo_layout, "purged_body"), lambda *_: b"other"),
        ("static-table", (table, "replace_file"), lambda path, _: path.write_bytes(b"other")),
    ],
)
def test_a_broken_promise_is_a_finding(
    name: str, where: tuple[Any, str], broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = list(TARGETS[name].seeds())
    monkeypatch.setattr(*where, broken)

    def run() -> None:
        for seed in seeds:
            TARGETS[name].run(seed)

    with pytest.raises(Broken):
        run()


def test_the_home_record_is_read_by_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_home, "recorded_keys", _raising(Sabotage()))
    with pytest.raises(Sabotage):
        _run_all("key-ring")
