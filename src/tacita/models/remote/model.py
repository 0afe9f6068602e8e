"""The two ports spoken over a vendor's client: a language model and an embedder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from threading import Lock, Thread
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from tacita.credentials import Credential
from tacita.disclosed import Disclosed
from tacita.errors import ConfigError, ModelError
from tacita.models.remote.uri import ModelUri, parse
from tacita.patience import Patience, Transient
from tacita.ports.foreign import Failed, tried

T = TypeVar("T")

TIMEOUT: Final = 60.0
ATTEMPTS: Final = 3
CONCURRENCY: Final = 8
_TOKENS: Final = 4_096
_BATCH: Final = 64


class _Loop:
    """An event loop on a thread of its own: the vendors' clients are asynchronous, and belong to one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        self._thread = Thread(target=self._loop.run_forever, name="tacita-models", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """The result of `work`, which is cancelled when the time is over."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout), self._loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run `last` and stop."""
        self.run(last, 5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Remote:
    """What all have in common: the client, opened at the first call, and patience."""

    def __init__(self, uri: str, secret: Callable[[str], Credential]) -> None:
        self._uri: ModelUri = parse(uri)
        self._secret = secret
        self._timeout = self._uri.number("timeout", TIMEOUT, 0.05, 600)
        attempts = int(self._uri.number("attempts", ATTEMPTS, 1, 10))
        concurrency = int(self._uri.number("concurrency", CONCURRENCY, 1, 256))
        self._patience = Patience(
            f"model {self.name}",
            attempts=attempts,
            concurrency=concurrency,
            error=lambda what: ModelError(what, retryable=True),
        )
        self._lock = Lock()
        self._loop: _Loop | None = None
        self._client: Any = None
        self._http: Any = None
        _check_credentials(self._uri)

    @property
    def name(self) -> str:
        """`scheme:model`, with the host where it is not the vendor's."""
        return self._uri.name

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host of the URI, and those that its credentials need."""
        google = ("oauth2.googleapis.com",) if self._uri.scheme == "vertex" and "token" not in self._uri.options else ()
        machine = ("metadata.google.internal",) if self._uri.options.get("credentials") == "default" else ()
        return (self._uri.host, *google, *machine)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _call(self, make: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        return self._patience.run(lambda: self._once(make))

    def _once(self, make: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        client, loop = self._opened()
        result = tried(lambda: loop.run(make(client), self._timeout))
        if isinstance(result, Failed):
            raise _mapped(self.name, result.error)
        return result

    def _opened(self) -> tuple[Any, _Loop]:
        with self._lock:
            if self._loop is None or self._loop.pid != os.getpid():
                try:
                    from tacita.models.remote.clients import open_http

                    self._http = open_http(self._uri, self._timeout)
                    self._client = self._open(self._http)
                except ImportError as error:
                    raise ConfigError(
                        f"model {self.name} needs the libraries of the extra: pip install 'tacita[models]' "
                        f"({error.name} is missing)"
                    ) from None
                self._loop = _Loop()
            return self._client, self._loop

    def _open(self, http: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of connections. The next call opens new ones. Not for use beside a call that is under way."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None and loop.pid == os.getpid():
                loop.close(self._http.aclose())
            self._client = self._http = None


class RemoteModel(Remote):
    """A language model elsewhere."""

    def _open(self, http: Any) -> Any:
        from tacita.models.remote.clients import open_model

        return open_model(self._uri, self._secret, self._timeout, http)

    def complete(self, prompt: Disclosed, /) -> str:
        """The answer's text. Raises ModelError (retryable when it may pass), ConfigError."""
        if type(prompt) is not Disclosed:
            raise TypeError("a model takes Disclosed and nothing else")
        (data,) = prompt.texts

        async def ask(client: Any) -> str:
            from pydantic_ai.direct import model_request
            from pydantic_ai.messages import BinaryContent, ModelRequest, TextPart, UserPromptPart
            from pydantic_ai.settings import ModelSettings

            seen = [BinaryContent(data=each.data, media_type=each.media_type) for each in prompt.pictures]
            part = UserPromptPart(content=[data, *seen] if seen else data)
            request = ModelRequest(parts=[part], instructions=prompt.instructions)
            response = await model_request(
                client,
                [request],
                model_settings=ModelSettings(temperature=0.0, max_tokens=_TOKENS),
                instrument=False,
            )
            return "".join(part.content for part in response.parts if isinstance(part, TextPart))

        return self._call(ask)


class RemoteEmbedding(Remote):
    """An embedder elsewhere. Its URI says how many dimensions its vectors have."""

    def __init__(self, uri: str, secret: Callable[[str], Credential]) -> None:
        super().__init__(uri, secret)
        if "dimensions" not in self._uri.options:
            raise ConfigError(f"embedder {self.name}: say how long its vectors are, as in ...?dimensions=1536")
        self._dimensions = int(self._uri.number("dimensions", 0, 1, 4_096))

    @property
    def dimensions(self) -> int:
        """As the URI says."""
        return self._dimensions

    def _open(self, http: Any) -> Any:
        from tacita.models.remote.clients import open_embedding_model

        return open_embedding_model(self._uri, self._secret, self._timeout, http)

    def embed_disclosed(self, texts: Disclosed, /) -> NDArray[np.float32]:
        """Unit rows, shape (texts, dimensions). Raises ModelError, ConfigError."""
        if type(texts) is not Disclosed:
            raise TypeError("a model takes Disclosed and nothing else")
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(texts.texts), _BATCH):
            batch = list(texts.texts[start : start + _BATCH])

            async def ask(client: Any, batch: list[str] = batch) -> Any:
                return await client.embed(batch, input_type="document", settings={"dimensions": self._dimensions})

            rows.append(np.asarray(self._call(ask).embeddings, np.float32))
        found = np.concatenate(rows) if rows else np.zeros((0, self._dimensions), np.float32)
        if found.ndim != 2 or found.shape[1] != self._dimensions:
            raise ModelError(f"embedder {self.name} gave vectors of another length than its URI says")
        # Vendors normalise in float64 or not at all.
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not bool(np.all(np.isfinite(lengths)) and np.all(lengths > 0)):
            raise ModelError(f"embedder {self.name} gave vectors without a direction")
        unit: NDArray[np.float32] = (found / lengths).astype(np.float32)
        return unit


def _check_credentials(uri: ModelUri) -> None:
    """Say at once what is missing, not in the middle of a conversation."""
    needed = {"bedrock": ("key", "secret"), "vertex": ()}.get(uri.scheme, ("key",) if uri.needs_key else ())
    for option in needed:
        if option not in uri.options:
            example = "".join(f"&{each}=env:NAME" for each in needed)[1:]
            raise ConfigError(
                f"model {uri.name} needs {option} by reference: {uri.scheme}:{uri.model}?{example}; "
                "no vendor's variable is read by itself"
            )
    if uri.scheme == "vertex" and not {"token", "credentials"} & uri.options.keys():
        raise ConfigError(
            f"model {uri.name} needs credentials=file:PATH (a service account's JSON), credentials=default or token=env:NAME"
        )


def _mapped(name: str, error: BaseException) -> Exception:
    """What a vendor's exception means to us. Its text may quote the prompt, so none of it is passed on."""
    kind = type(error).__name__[:64]
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return Transient("did not answer in time")
    if status in (401, 403) or "Authentication" in kind:
        return ConfigError(f"model {name}: its key was refused (HTTP {status})")
    if status == 429 or "RateLimit" in kind:
        return Transient("is busy (HTTP 429)", _retry_after(error))
    if isinstance(status, int) and status >= 500:
        return Transient(f"failed (HTTP {status})", _retry_after(error))
    if isinstance(status, int) and status >= 400:
        return ModelError(f"model {name}: refused the request (HTTP {status})")
    if isinstance(error, OSError) or "Connection" in kind or "Transport" in kind or "Protocol" in kind:
        return Transient(f"cannot be reached ({kind})")
    if "Unexpected" in kind or kind == "ModelAPIError":
        return Transient(f"gave no usable answer ({kind})")
    return ModelError(f"model {name} failed: {kind}")


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(0.0, float({str(key).lower(): value for key, value in dict(headers).items()}["retry-after"]))
    except (KeyError, TypeError, ValueError):
        return None


def open_model(uri: str, secret: Callable[[str], Credential]) -> RemoteModel:
    """The language model of a URI. Raises ConfigError."""
    return RemoteModel(uri, secret)


def open_remote_embedder(uri: str, secret: Callable[[str], Credential]) -> RemoteEmbedding:
    """The embedder of a URI. Raises ConfigError."""
    return RemoteEmbedding(uri, secret)
