"""Chroma's own API over connections that have limits. Apart, because the client is only imported by those who use it."""

from __future__ import annotations

import httpx
from chromadb.api.fastapi import FastAPI
from chromadb.config import Settings, System

from tacita.vectors._place import Place


class ConfinedApi(FastAPI):  # type: ignore[misc]
    """The client's own API over a connection that has limits: no proxy of the environment, no redirect, no endless wait."""

    def __init__(self, system: System, seconds: float) -> None:
        super().__init__(system)
        before: httpx.Client = self._session
        before.close()
        self._session: httpx.Client = httpx.Client(
            headers=before.headers, timeout=seconds, trust_env=False, verify=True, follow_redirects=False
        )

    def close(self) -> None:
        """Let go of its connections."""
        self._session.close()


def connect(place: Place, token: str | None) -> ConfinedApi:
    """A connection of our own: `chromadb.HttpClient` shares one between all who name the same host, whatever their token."""
    settings = Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=place.host,
        chroma_server_http_port=place.port or (443 if place.tls else 8000),
        chroma_server_ssl_enabled=place.tls,
        chroma_server_ssl_verify=True,
        chroma_server_headers=None if token is None else {"x-chroma-token": token},
        chroma_client_auth_provider=None,
        anonymized_telemetry=False,
        chroma_otel_collection_endpoint="",
    )
    return ConfinedApi(System(settings), place.seconds)
