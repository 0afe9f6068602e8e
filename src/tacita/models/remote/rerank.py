"""`rerank:MODEL@https://HOST`: a reranker that speaks Cohere's protocol (Cohere, Jina, Voyage-like servers, vLLM, ...)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tacita.credentials import Credential
from tacita.disclosed import Disclosed
from tacita.errors import ModelError
from tacita.models.remote.model import Remote

_PATH: Final = "/v2/rerank"


class HttpReranker(Remote):
    """`POST {address}/v2/rerank` with model, query and documents; reads `results[].index` and `relevance_score`."""

    def _open(self, http: Any) -> Any:
        return http

    def score_disclosed(self, texts: Disclosed, /) -> NDArray[np.float32]:
        """The relevance of each text but the first, which is the question. Raises ModelError, ConfigError."""
        if type(texts) is not Disclosed:
            raise TypeError("a model takes Disclosed and nothing else")
        query, *documents = texts.texts
        key = self._secret("key").reveal() if "key" in self._uri.options else None
        body = {"model": self._uri.model, "query": query, "documents": documents, "top_n": len(documents)}

        async def ask(http: Any) -> Any:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            response = await http.post(self._uri.url + _PATH, json=body, headers=headers)
            response.raise_for_status()
            return response.json()

        return _scores(self._call(ask), len(documents), self.name)


def _scores(answer: Any, count: int, name: str) -> NDArray[np.float32]:
    results = answer.get("results") if isinstance(answer, dict) else None
    scores = np.zeros(count, np.float32)
    seen: set[int] = set()
    for each in results if isinstance(results, list) else ():
        index, score = (each.get("index"), each.get("relevance_score")) if isinstance(each, dict) else (None, None)
        if type(index) is int and 0 <= index < count and isinstance(score, int | float):
            seen.add(index)
            # Cut before it is a float: an integer in JSON has any size.
            scores[index] = float(min(1, max(0, score)))
    if len(seen) != count:
        raise ModelError(f"reranker {name} did not score every text")
    return scores


def open_reranker(uri: str, secret: Callable[[str], Credential]) -> HttpReranker:
    """The reranker of a URI. Raises ConfigError."""
    return HttpReranker(uri, secret)
