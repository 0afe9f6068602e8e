"""A server that speaks as much of Weaviate's REST and gRPC as `tacita.vectors.weaviate` uses, for the official client."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from typing import Any, Self
from uuid import UUID

import grpc
import numpy as np
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

KEY = "synthetic-weaviate-key"


class WeaviateServer(weaviate_pb2_grpc.WeaviateServicer):  # type: ignore[misc]
    """Collections with tenants. Use as a context manager; `port` is for REST, `grpc_port` for the rest."""

    def __init__(self) -> None:
        self.classes: dict[str, dict[str, Any]] = {}
        self.tenants: dict[str, dict[str, dict[UUID, Any]]] = {}
        self.lock = RLock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                with owner.lock:
                    status, told = owner.answer(self.command, self.path, body)
                if self.headers["Authorization"] != f"Bearer {KEY}":
                    status, told = 401, {"error": [{"message": "anonymous access not enabled"}]}
                data = b"" if told is None else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_HEAD = answer

        self._rest = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._rest.daemon_threads = True
        self.port = self._rest.server_port
        self._grpc = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 100 << 20)])
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(self, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Self:
        Thread(target=self._rest.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.shutdown()
        self._rest.server_close()
        self._grpc.stop(None).wait()

    def answer(self, verb: str, path: str, body: Any) -> tuple[int, Any]:
        match (verb, path.partition("?")[0].split("/")[2:]):
            case ("GET", ["meta"]):
                return 200, {"hostname": "http://[::]:8080", "modules": {}, "version": "1.34.0"}
            case ("POST", ["schema"]):
                self.classes[body["class"]] = body
                self.tenants[body["class"]] = {}
                return 200, body
            case ("GET", ["schema", name]):
                return (200, _described(self.classes[name])) if name in self.classes else (404, None)
            case ("GET" | "HEAD", ["schema", name, "tenants", tenant]):
                there = tenant in self.tenants[name]
                return (200, {"name": tenant, "activityStatus": "ACTIVE"}) if there else (404, None)
            case ("DELETE", ["schema", name, "tenants"]):
                for tenant in body:
                    self.tenants[name].pop(tenant, None)
                return 200, None
        return 404, {"error": [{"message": "no such path"}]}

    def _tenant(self, request: Any, context: Any) -> dict[UUID, Any]:
        if ("authorization", f"Bearer {KEY}") not in [(each.key, each.value) for each in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "anonymous access not enabled")
        if not self.classes[request.collection]["multiTenancyConfig"]["enabled"] or not request.tenant:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "class has multi-tenancy enabled, but request was without tenant"
            )
        if request.tenant not in self.tenants[request.collection]:
            context.abort(grpc.StatusCode.UNKNOWN, f'explorer: tenant not found: "{request.tenant}"')
        return self.tenants[request.collection][request.tenant]

    def Search(self, request: Any, context: Any) -> Any:
        with self.lock:
            held = self._tenant(request, context)
            if request.HasField("near_vector"):
                packed = request.near_vector.vector_bytes or request.near_vector.vectors[0].vector_bytes
                query, ids = np.frombuffer(packed, "<f4"), list(held)
                scores = np.array([held[each] for each in ids]) @ query
                order = np.argsort(-scores)[: request.limit].tolist()
                return search_get_pb2.SearchReply(results=[_result(ids[at], -float(scores[at])) for at in order])
            ids = sorted(held)
            if request.HasField("filters"):
                ids = [each for each in _named(request.filters) if each in held]
            elif request.after:
                ids = [each for each in ids if each > UUID(request.after)]
            return search_get_pb2.SearchReply(results=[_result(each) for each in ids[: request.limit]])

    def BatchObjects(self, request: Any, context: Any) -> Any:
        with self.lock:
            for each in request.objects:
                assert self.classes[each.collection]["multiTenancyConfig"]["autoTenantCreation"]
                tenant = self.tenants[each.collection].setdefault(each.tenant, {})
                packed = each.vector_bytes or each.vectors[0].vector_bytes
                tenant[UUID(each.uuid)] = np.frombuffer(packed, "<f4")
        return batch_pb2.BatchObjectsReply()

    def BatchDelete(self, request: Any, context: Any) -> Any:
        with self.lock:
            held = self._tenant(request, context)
            gone = [held.pop(each) for each in _named(request.filters) if each in held]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def TenantsGet(self, request: Any, context: Any) -> Any:
        with self.lock:
            wanted = list(request.names.values) if request.HasField("names") else list(self.tenants[request.collection])
            active = tenants_pb2.TENANT_ACTIVITY_STATUS_ACTIVE
            found = [
                tenants_pb2.Tenant(name=name, activity_status=active)
                for name in wanted
                if name in self.tenants[request.collection]
            ]
        return tenants_pb2.TenantsGetReply(tenants=found)

    def Aggregate(self, request: Any, context: Any) -> Any:
        with self.lock:
            count = len(self._tenant(request, context))
        return aggregate_pb2.AggregateReply(single_result=aggregate_pb2.AggregateReply.Single(objects_count=count))


def _described(made: dict[str, Any]) -> dict[str, Any]:
    """What a server tells of a class: what it was made with, and defaults that the client wants to see."""
    defaults = {
        "invertedIndexConfig": {"bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60,
                                "stopwords": {"preset": "en", "additions": None, "removals": None}},
        "replicationConfig": {"factor": 1, "asyncEnabled": False, "deletionStrategy": "NoAutomatedResolution"},
        "shardingConfig": {},
        "properties": [],
    }  # fmt: skip
    index = {"cleanupIntervalSeconds": 300, "dynamicEfMin": 100, "dynamicEfMax": 500, "dynamicEfFactor": 8, "ef": -1,
             "efConstruction": 128, "filterStrategy": "acorn", "flatSearchCutoff": 40_000, "maxConnections": 32,
             "skip": False, "vectorCacheMaxObjects": 10**12}  # fmt: skip
    named = made["vectorConfig"]["default"]
    told = {**named, "vectorIndexConfig": {**index, **named["vectorIndexConfig"]}}
    return {**defaults, **made, "vectorConfig": {"default": told}}


def _named(filters: Any) -> list[UUID]:
    if filters.operator == base_pb2.Filters.OPERATOR_OR:
        return [each for one in filters.filters for each in _named(one)]
    assert filters.operator in (base_pb2.Filters.OPERATOR_CONTAINS_ANY, base_pb2.Filters.OPERATOR_EQUAL)
    return [UUID(each) for each in filters.value_text_array.values or [filters.value_text]]


def _result(uuid: UUID, distance: float | None = None) -> Any:
    metadata = search_get_pb2.MetadataResult(
        id=str(uuid), id_as_bytes=uuid.bytes, distance=distance or 0.0, distance_present=distance is not None
    )
    return search_get_pb2.SearchResult(metadata=metadata, properties=search_get_pb2.PropertiesResult())
