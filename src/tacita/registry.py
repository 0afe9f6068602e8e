"""URI scheme -> provider. The only table of its kind; concrete modules are named by string and loaded when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

from tacita.errors import ConfigError

Role = Literal[
    "stores",
    "rings",
    "store_hosts",
    "keys",
    "key_uris",
    "embedders",
    "models",
    "rerankers",
    "pictures",
    "credentials",
    "anchors",
    "vectors",
]

_REMOTE = (
    *("openai", "azure", "anthropic", "bedrock", "gemini", "vertex", "groq", "mistral", "cohere", "together"),
    *("ollama", "vllm", "lmstudio", "openai-compatible"),
)
_POSTGRES = ("postgres", "postgresql")
KEYS_ELSEWHERE = frozenset({"awskms", "gcpkms", "azurekv", "vault"})
"""Schemes of root keys that a service holds."""
REMOTE_EMBEDDERS = frozenset(_REMOTE) - {"anthropic", "groq"}
"""Schemes whose embedders are elsewhere."""

_REDIS = ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+unix")

STORES_ELSEWHERE = frozenset({*_POSTGRES, "dynamodb", *_REDIS})
"""Schemes of logs and key rings that a server keeps."""

_BUILT_IN: dict[Role, dict[str, str]] = {
    "stores": {
        "sqlite": "tacita.stores.sqlite:SqliteLogStore",
        "memory": "tacita.stores.memory:MemoryLogStore",
        **dict.fromkeys(_POSTGRES, "tacita.stores.postgres_open:open_log"),
        "dynamodb": "tacita.stores.dynamodb:DynamoLogStore",
        **dict.fromkeys(_REDIS, "tacita.stores.redis:RedisLogStore"),
    },
    "rings": {
        "sqlite": "tacita.stores.sqlite_ring:SqliteKeyRing",
        "memory": "tacita.stores.memory_ring:MemoryKeyRing",
        **dict.fromkeys(_POSTGRES, "tacita.stores.postgres_open:open_ring"),
        "dynamodb": "tacita.stores.dynamodb_ring:DynamoKeyRing",
        **dict.fromkeys(_REDIS, "tacita.stores.redis_ring:RedisKeyRing"),
    },
    "store_hosts": {
        **dict.fromkeys(_POSTGRES, "tacita.stores.postgres_open:hosts"),
        "dynamodb": "tacita.stores._dynamo_uri:hosts",
        **dict.fromkeys(_REDIS, "tacita.stores._redis_uri:hosts"),
    },
    "keys": {
        "file": "tacita.keys.file:open_file",
        "env": "tacita.keys.environment:open_environment",
        "passphrase": "tacita.keys.passphrase:open_passphrase",
        "keyring": "tacita.keys.oskeyring:open_keyring",
        "ephemeral": "tacita.keys._local:ephemeral",
        "awskms": "tacita.keys.awskms:open_awskms",
        "gcpkms": "tacita.keys.gcpkms:open_gcpkms",
        "azurekv": "tacita.keys.azurekv:open_azurekv",
        "vault": "tacita.keys.transit:open_transit",
    },
    "key_uris": dict.fromkeys(KEYS_ELSEWHERE, "tacita.keys._uri:parse"),
    "embedders": {
        "local": "tacita.models:open_embedder",
        "onnx": "tacita.models:open_embedder",
        "none": "tacita.models:open_embedder",
        **dict.fromkeys(REMOTE_EMBEDDERS, "tacita.models.remote.model:open_remote_embedder"),
    },
    "models": {
        **dict.fromkeys(_REMOTE, "tacita.models.remote.model:open_model"),
        "function": "tacita.models.called:CalledModel",
    },
    "rerankers": {
        "cross-encoder": "tacita.models.cross_encoder:open_cross_encoder",
        "rerank": "tacita.models.remote.rerank:open_reranker",
    },
    "anchors": {
        "file": "tacita.stores.anchor_file:FilePlace",
        **dict.fromkeys(("https", "http"), "tacita.stores.anchor_http:HttpPlace"),
    },
    "vectors": {
        "faiss": "tacita.vectors.faiss:FaissIndex",
        "qdrant": "tacita.vectors.qdrant:QdrantIndex",
        "pgvector": "tacita.vectors.pgvector:PgvectorIndex",
        "chroma": "tacita.vectors.chroma:ChromaIndex",
        "milvus": "tacita.vectors.milvus:MilvusIndex",
        "weaviate": "tacita.vectors.weaviate:WeaviateIndex",
        "pinecone": "tacita.vectors.pinecone:PineconeIndex",
    },
    "pictures": {"https": "tacita.models.pictures:AllowedHosts"},
    "credentials": {"keyring": "tacita.keys.oskeyring:read_credential"},
}


def split(uri: str) -> tuple[str, str]:
    """(scheme, rest) of a URI; a bare word is a scheme."""
    scheme, _, rest = uri.partition(":")
    return scheme.partition("?")[0], rest


def roles() -> tuple[Role, ...]:
    """What is chosen by a scheme."""
    return tuple(_BUILT_IN)


def known(role: Role) -> tuple[str, ...]:
    """The schemes that come with Tacita."""
    return tuple(_BUILT_IN[role])


def lookup(role: Role, scheme: str, allowed: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The factory of a scheme. A third party's entry point (`tacita.<role>`) loads only if `allowed` names it.

    Raises ConfigError for an unknown scheme, naming the known ones.
    """
    built_in = _BUILT_IN[role]
    if scheme in built_in:
        module, _, name = built_in[scheme].partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), name)
        return factory
    # Only here: it loads the mail parser, which takes as long as opening a vault.
    from importlib.metadata import entry_points

    for point in entry_points(group=f"tacita.{role}"):
        if point.name == scheme:
            if scheme not in allowed:
                raise ConfigError(f"the plug-in {scheme!r} is installed but not allowed: add it to plugins.allow")
            loaded: Callable[..., Any] = point.load()
            return loaded
    raise ConfigError(f"unknown scheme {scheme!r} for {role}; known are {', '.join(sorted(built_in))}")
