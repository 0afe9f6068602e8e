"""Servers on loopback that speak the vendors' protocols, so that official clients can be tested without a network.

They answer from a script, fail in the ways that real services fail, and keep every byte that they were sent.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Literal

from tacita.hazmat import sha256
from tacita.testing.loopback import Quiet, ScriptedServer

Behaviour = Literal["ok", "slow", "busy", "broken", "cut", "no_json", "wrong_shape", "refused", "redirect"]
"""What becomes of one request: answered; answered late; 429 with Retry-After; 500; the connection ends in the middle of
the answer; no JSON; JSON of another shape; 401; a redirect to another host."""

DIMENSIONS: Final = 8
_SLOW_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Received {self.path}: {len(self.body)} bytes>"


class ModelServer(ScriptedServer[Behaviour]):
    """One server that speaks OpenAI (chat, embeddings; Azure's paths too), Anthropic, Bedrock Converse and Gemini/Vertex.

    `answer` makes the text of a reply from (instructions, data). OpenAI-like clients want `/v1` behind `url`.
    """

    def __init__(self, answer: Callable[[str, str], str] = lambda _instructions, _data: '{"facts": []}') -> None:
        self.answer = answer
        self.received: list[Received] = []
        owner = self

        class Handler(_Handler):
            server_of_ours = owner

        super().__init__(Handler)

    def everything(self) -> bytes:
        """All that was received, paths and headers included."""
        return b"\n".join(
            f"{each.path} {json.dumps(each.headers)}\n".encode() + each.body for each in list(self.received)
        )


class _Handler(Quiet, BaseHTTPRequestHandler):
    server_of_ours: ModelServer

    def do_POST(self) -> None:
        ours = self.server_of_ours
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        ours.received.append(Received(self.path, dict(self.headers.items()), body))
        behaviour = ours.next_fault()
        if behaviour == "slow":
            time.sleep(_SLOW_SECONDS)
        if behaviour in ("busy", "broken", "refused"):
            status = {"busy": 429, "broken": 500, "refused": 401}[behaviour]
            headers = {"Retry-After": "0"} if behaviour == "busy" else {}
            # Real services quote the request in their errors.
            self._send(status, json.dumps({"error": {"message": body.decode(errors="replace")}}).encode(), headers)
            return
        if behaviour == "redirect":
            self._send(307, b"", {"Location": "http://127.0.0.1:9/elsewhere"})
            return
        path = self.path.partition("?")[0]
        given = json.loads(body or b"{}")
        if behaviour == "no_json":
            self._send(200, b"<html>gateway</html>")
            return
        if behaviour == "wrong_shape":
            self._send(200, b'{"unexpected": ["shape"]}')
            return
        answered = json.dumps(reply_to(path, given, ours.answer)).encode()
        if behaviour == "cut":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered[: len(answered) // 2])
            self.close_connection = True
            return
        self._send(200, answered)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # a client that gave up waiting
            self.wfile.write(body)


def reply_to(path: str, given: dict[str, Any], answer: Callable[[str, str], str]) -> dict[str, Any]:
    """What the service at that path answers. Raises ValueError for a path that none of them has."""
    if path.endswith("/chat/completions"):
        return _openai_chat(given, answer)
    if path.endswith("/embeddings"):
        return _openai_embeddings(given)
    if path.endswith("/rerank"):
        return _rerank(given)
    if path.endswith("/messages"):
        return _anthropic(given, answer)
    if re.search(r"/model/[^/]+/converse$", path):
        return _bedrock(given, answer)
    if path.endswith(":generateContent"):
        return _gemini(given, answer)
    if path.endswith((":batchEmbedContents", ":embedContent", ":predict")):
        return _gemini_embeddings(path, given)
    raise ValueError(f"no such service: {path}")


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector that only depends on the text. Not normalised: not every service does that."""
    digest = sha256(text.encode())
    return [(digest[at % 32] - 127.5) / 64 for at in range(dimensions)]


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts: Iterable[Any] = content or ()
    return "\n".join(part if isinstance(part, str) else str(part.get("text", "")) for part in parts)


def _openai_chat(given: dict[str, Any], answer: Callable[[str, str], str]) -> dict[str, Any]:
    texts = [(message["role"], _text_of(message.get("content"))) for message in given["messages"]]
    instructions = "\n".join(text for role, text in texts if role in ("system", "developer"))
    said = answer(instructions, "\n".join(text for role, text in texts if role == "user"))
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": given["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _openai_embeddings(given: dict[str, Any]) -> dict[str, Any]:
    texts = [given["input"]] if isinstance(given["input"], str) else given["input"]
    dimensions = given.get("dimensions", DIMENSIONS)
    return {
        "object": "list",
        "model": given["model"],
        "data": [
            {"object": "embedding", "index": number, "embedding": vector(text, dimensions)}
            for number, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


def _rerank(given: dict[str, Any]) -> dict[str, Any]:
    # By shared words, so that a test can say what comes first.
    wanted = set(given["query"].lower().split())
    shares = [len(wanted & set(text.lower().split())) / max(1, len(wanted)) for text in given["documents"]]
    ordered = sorted(range(len(shares)), key=lambda at: -shares[at])[: given.get("top_n")]
    return {"id": "r1", "results": [{"index": at, "relevance_score": shares[at]} for at in ordered]}


def _anthropic(given: dict[str, Any], answer: Callable[[str, str], str]) -> dict[str, Any]:
    data = "\n".join(_text_of(message["content"]) for message in given["messages"] if message["role"] == "user")
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": given["model"],
        "content": [{"type": "text", "text": answer(_text_of(given.get("system")), data)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }


def _bedrock(given: dict[str, Any], answer: Callable[[str, str], str]) -> dict[str, Any]:
    data = "\n".join(_text_of(message["content"]) for message in given["messages"] if message["role"] == "user")
    said = answer(_text_of(given.get("system")), data)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": said}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
        "metrics": {"latencyMs": 1},
    }


def _gemini(given: dict[str, Any], answer: Callable[[str, str], str]) -> dict[str, Any]:
    instructions = _text_of((given.get("systemInstruction") or {}).get("parts"))
    data = "\n".join(_text_of(content["parts"]) for content in given["contents"] if content.get("role") != "model")
    return {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": answer(instructions, data)}]}, "finishReason": "STOP"}
        ],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        "modelVersion": "scripted",
    }


def _gemini_embeddings(path: str, given: dict[str, Any]) -> dict[str, Any]:
    if path.endswith(":predict"):
        size = (given.get("parameters") or {}).get("outputDimensionality", DIMENSIONS)
        return {
            "predictions": [
                {"embeddings": {"values": vector(each["content"], size)}} for each in given.get("instances", ())
            ]
        }
    requests = given.get("requests", [given])
    vectors = [
        {"values": vector(_text_of(each["content"]["parts"]), each.get("outputDimensionality") or DIMENSIONS)}
        for each in requests
    ]
    return {"embeddings": vectors} if "requests" in given else {"embedding": vectors[0]}
