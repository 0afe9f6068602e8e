"""What models and hosts elsewhere answer: facts, orders, scores, pictures; and the file of a model made here."""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from fuzzing.kit import MARKER, Refused, Target, attempt, from_json, json_seeds, require, skips_unreadable
from fuzzing.stored import FOLDER
from tacita.errors import AccessDenied, ConfigError, ModelError
from tacita.flows.rerank import _labels
from tacita.items import Trust
from tacita.limits import DIMENSIONS, FACT_CHARS, FACTS, PICTURE_BYTES
from tacita.models import table
from tacita.models.pictures import AllowedHosts
from tacita.models.remote.rerank import _scores
from tacita.pipeline import facts, pictures, portrait, reply
from tacita.pipeline.facts import Known, Source
from tacita.pipeline.reconcile import reconcile

_SOURCES: Final = {
    "m1": Source(b"1" * 16, "I moved to Porto in May 2023 and drink green tea.", 10**15, Trust.USER, "Ana"),
    "m2": Source(b"2" * 16, "Straße, ﬁre and 東京 tea \U0001f600", 10**15, Trust.UNTRUSTED),
}
_KNOWN: Final = {"f1": Known(b"3" * 16, "Ana lives in Lisbon.", 10**14, Trust.USER)}


def answered(data: bytes) -> None:
    """A model's answer: never an error, and every fact that is kept stands in its source."""
    text = data.decode("utf-8", "surrogateescape")
    found = reply.read(text)
    require(len(found.facts) <= FACTS, "no more facts than are taken from one answer")
    kept, _ = facts.check(found.facts, _SOURCES, _KNOWN, categories=("home",))
    for fact in kept:
        start, end = fact.span
        require(0 <= start < end <= len(fact.source.text), "a span lies inside its source")
        require(0 < len(fact.text) <= FACT_CHARS, "a fact has a length")
        require(fact.confidence is None or 0 <= fact.confidence <= 1, "confidence is a share")
        fact.text.encode()
        (fact.subject or "").encode()
    decisions, _ = reconcile(kept, list(_KNOWN.values()))
    require(len(decisions) == len(kept), "one decision for each fact")
    lines, _ = portrait.check(found.facts, _KNOWN)
    require(all(line.sources for line in lines), "every line rests on something")
    order = _labels(text, 5)
    require(len(set(order)) == len(order) and all(0 <= at < 5 for at in order), "an order names each text once")


def scored(value: Any) -> None:
    """A reranker's answer: a score for every text, each between 0 and 1, or ModelError."""
    scores = attempt(lambda: _scores(value, 3, "rerank:x"), ModelError)
    if not isinstance(scores, Refused):
        require(bool(((scores >= 0) & (scores <= 1)).all()), "a score is a share")


def referred(value: Any) -> None:
    """A message's parts: pictures among them, never an error, and no more than are described."""
    parts = [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    found = pictures.references(parts)
    require(len(found) <= pictures.MOST, "no more pictures than are described")
    for each in found:
        require((each.url is None) != (each.data is None), "a picture is its bytes or its address")
        require(MARKER not in repr(each), "a reference's repr holds no content")
        require(
            pictures.media_type(each.data or b"") in (None, "image/png", "image/jpeg", "image/gif", "image/webp"), ""
        )


class _Wire(socket.socket):
    """A connection whose other end has already said everything."""

    answer = b""

    @classmethod
    def saying(cls, answer: bytes) -> _Wire:
        made = cls(socket.AF_UNIX, socket.SOCK_STREAM)
        made.answer = answer
        return made

    def sendall(self, data: Any, flags: int = 0) -> None:
        require(bytes(data).count(b"\r\n\r\n") == 1, "one request and nothing after it")

    def makefile(self, *_: Any, **__: Any) -> Any:
        return io.BufferedReader(io.BytesIO(self.answer))  # type: ignore[arg-type]


class _NoTls(ssl.SSLContext):
    """Hands the connection through: encryption is not what is tested."""

    def wrap_socket(self, sock: Any, *_: Any, **__: Any) -> Any:
        return sock


_CONTEXT: Final = _NoTls(ssl.PROTOCOL_TLS_CLIENT)


def fetched(value: Any) -> None:
    """An address out of a message, what a name server says of its host, and what the host sends."""
    if not (isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and isinstance(value[2], str)):
        return
    url, addresses, answer = value
    asked = [each for each in addresses if isinstance(each, str)] if isinstance(addresses, list) else []

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        require(address in ("93.184.216.34", "2606:2800:220:1::1") or not _inside(address), "never a private network")
        require(port == 443, "never another port")
        return _Wire.saying(answer.encode("latin-1", "replace"))

    fetcher = AllowedHosts(["img.example.org"], resolve=lambda _: asked, connect=connect, context=_CONTEXT)
    body = attempt(lambda: fetcher.fetch(url), AccessDenied, ModelError)
    require(isinstance(body, Refused) or len(body) <= PICTURE_BYTES, "no more bytes than a picture has")


def _inside(address: str) -> bool:
    """Judged apart from the code under test: by the beginnings of private and special addresses."""
    low = address.lower()
    private = ("10.", "127.", "192.168.", "169.254.", "0.", "100.64.", "fc", "fd", "fe8", "ff", "224.", "239.", "255.")
    return low.startswith(private) or low in ("::", "::1") or ("::ffff:" in low and ("127." in low or "10." in low))


def distilled(data: bytes) -> None:
    """A table of word vectors: ConfigError, or one that is written again as it was."""
    path = FOLDER / "table"
    path.write_bytes(data)
    head = attempt(lambda: table.read_head(path), ConfigError)
    if isinstance(head, Refused):
        return
    require(0 < head.dimensions <= DIMENSIONS, "a table has dimensions")
    vectors = attempt(lambda: table.read(path, head), ConfigError)
    if isinstance(vectors, Refused):
        return
    require(vectors.shape == (head.rows, head.dimensions), "as many vectors as it says")
    table.write(path, vectors, weights=head.weights, tokenizer=head.tokenizer)
    require(path.read_bytes() == data, "what is read is what is there")


def _tables() -> Iterator[bytes]:
    path = FOLDER / "made"
    for rows, dimensions in ((1, 1), (3, 4)):
        made = np.arange(rows * dimensions, dtype=np.float16).reshape(rows, dimensions)
        table.write(path, made, weights="ab" * 32, tokenizer="cd" * 32)
        yield path.read_bytes()


def _replies() -> Iterator[bytes]:
    yield (
        b'<think>hm</think>```json\n{"facts": [{"text": "Ana moved to Porto in May 2023.", "source": "m1", "quote": '
        b'"moved to Porto", "kind": "event", "subject": "Ana", "confidence": 0.9, "categories": ["home"], "of": "f1", '
        b'"relation": "supersedes", "valid_from": "2023-05-01", "valid_to": null}]}\n```'
    )
    yield b'[{"fact": "drinks green tea", "source": ["m1"], "quote": "drink green tea"}, {"text": "cut'
    yield b'["t3", "t1"]'
    yield '{"facts": [{"text": "東京 tea", "source": "m2", "quote": "東京"}]}'.encode()


_PNG: Final = "data:image/png;base64,iVBORw0KGgo="
TARGETS: Final = (
    Target(
        "model-reply",
        "Whatever a model answers: no error, and every kept fact stands in its source",
        answered,
        _replies,
        "json",
    ),
    Target(
        "static-table",
        "A table of word vectors is a ConfigError, or the one that was made, byte for byte",
        distilled,
        _tables,
    ),
    Target(
        "rerank-scores",
        "A reranker's answer scores every text between 0 and 1, or is a ModelError",
        skips_unreadable(scored, from_json),
        json_seeds({"results": [{"index": at, "relevance_score": 0.5} for at in range(3)]}),
        "json",
    ),
    Target(
        "picture-parts",
        "Pictures among a message's parts are found without an error, whatever the parts are",
        skips_unreadable(referred, from_json),
        json_seeds(
            [{"type": "image_url", "image_url": {"url": _PNG}}, {"type": "input_image", "image_url": "https://a/b"}],
            [
                {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
                {"type": "image", "source": {"url": "u"}},
            ],
        ),
        "json",
    ),
    Target(
        "picture-fetch",
        "No address, name server or host gets a request into a private network, nor anything but a typed error",
        skips_unreadable(fetched, from_json),
        json_seeds(
            ["https://img.example.org/a.png?x=1", ["93.184.216.34"], "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"],
            [
                "https://img.example.org/",
                ["::ffff:127.0.0.1"],
                "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1\r\n\r\n",
            ],
            ["https://img.example.org/", ["10.0.0.1"], ""],
            [
                "https://img.example.org/c",
                ["2606:2800:220:1::1"],
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            ],
        ),
        "json",
    ),
)
