"""Every operation once: its request, its response, the permission it needs. All that a surface can ask for or show.

A surface (CLI, later REST and MCP) hands a plain mapping to `execute` and gets a `Response`, the only type that it may
render. It never touches the engine, and nothing here knows a wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, final

import msgspec

from tacita import errors
from tacita.access.principal import Permission
from tacita.discreet import Discreet
from tacita.errors import InvalidInput, TacitaError
from tacita.memory import Memory
from tacita.tracebacks import without_values


@final
class Response(Discreet, frozen=True):
    """What may leave through a surface: JSON types only. Made by `execute` and `stream` alone."""

    operation: str
    data: Any

    def __repr__(self) -> str:
        return f"<Response {self.operation}>"


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests: whose memory it is about."""

    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class NoRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of an operation that is about no subject."""


class AddRequest(Request, frozen=True, kw_only=True):
    messages: str | dict[str, Any] | list[Any]
    metadata: dict[str, Any] | None = None
    timestamp: str | float | None = None
    expires_at: str | float | None = None
    infer: bool = False
    idempotency_key: str | None = None


class ConsentRequest(Request, frozen=True, kw_only=True):
    models: bool | None = None


class PortraitRequest(Request, frozen=True, kw_only=True):
    renew: bool = False


class ReviewRequest(Request, frozen=True, kw_only=True):
    id: str
    approve: bool
    digest: str


class SearchRequest(Request, frozen=True, kw_only=True):
    query: str
    filters: dict[str, Any] | None = None
    subjects: list[dict[str, str]] | None = None
    top_k: int = 10
    threshold: float | None = None
    as_of: str | float | None = None
    reference_time: str | float | None = None
    explain: bool = False


class ContextRequest(Request, frozen=True, kw_only=True):
    query: str
    budget: int = 1_000
    filters: dict[str, Any] | None = None
    subjects: list[dict[str, str]] | None = None
    as_of: str | float | None = None
    reference_time: str | float | None = None


class ItemRequest(Request, frozen=True, kw_only=True):
    id: str


class UpdateRequest(ItemRequest, frozen=True, kw_only=True):
    text: str | None = None
    metadata: dict[str, Any] | None = None


class PurgeRequest(Request, frozen=True, kw_only=True):
    origin: str


class ForgetRequest(Request, frozen=True, kw_only=True):
    request: str
    dry_run: bool = True
    ids: list[str] | None = None


class RedactRequest(Request, frozen=True, kw_only=True):
    who: str


class MentionsRequest(NoRequest, frozen=True, kw_only=True):
    who: str
    subjects: list[dict[str, str]] | None = None


class VerifyRequest(Request, frozen=True, kw_only=True):
    deep: bool = False


class IsolateRequest(Request, frozen=True, kw_only=True):
    dry_run: bool = False


class RestrictRequest(Request, frozen=True, kw_only=True):
    on: bool | None = None
    reason: str | None = None


class ListRequest(Request, frozen=True, kw_only=True):
    filters: dict[str, Any] | None = None
    limit: int = 100
    cursor: str | None = None
    order: Literal["newest", "oldest"] = "newest"


class Operation(msgspec.Struct, frozen=True):
    """One thing that can be done, and how."""

    name: str
    request: type[Request | NoRequest]
    permission: Permission
    summary: str
    destroys: bool
    run: Callable[[Memory, dict[str, Any]], Any]


def _operation(
    name: str, request: type[Request | NoRequest], permission: Permission, summary: str, *, destroys: bool = False
) -> Operation:
    def run(memory: Memory, arguments: dict[str, Any]) -> Any:
        return getattr(memory, name)(**arguments)

    return Operation(name, request, permission, summary, destroys, run)


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            _operation("add", AddRequest, Permission.WRITE, "keep messages"),
            _operation("extract", Request, Permission.WRITE, "draw facts from what is pending"),
            _operation("profile", PortraitRequest, Permission.READ, "a short profile that rests on known facts"),
            _operation("summary", PortraitRequest, Permission.READ, "a summary of a conversation"),
            _operation("quarantine", Request, Permission.ADMIN, "what waits for somebody to look at it"),
            _operation("review", ReviewRequest, Permission.ADMIN, "approve or reject an item in quarantine"),
            _operation("consent", ConsentRequest, Permission.WRITE, "whether models elsewhere may be told"),
            _operation("search", SearchRequest, Permission.READ, "find the best items for a question"),
            _operation("context", ContextRequest, Permission.READ, "a block of memories for a prompt"),
            _operation("get", ItemRequest, Permission.READ, "one item"),
            _operation("get_all", ListRequest, Permission.READ, "a page of items by time"),
            _operation("update", UpdateRequest, Permission.WRITE, "a new version of an item"),
            _operation("delete", ItemRequest, Permission.DELETE, "remove an item for good", destroys=True),
            _operation("history", ItemRequest, Permission.READ, "every change of an item"),
            _operation("erase", Request, Permission.ERASE, "erase a subject for good", destroys=True),
            _operation(
                "purge", PurgeRequest, Permission.DELETE, "remove all that came through a channel", destroys=True
            ),
            _operation("forget", ForgetRequest, Permission.DELETE, "propose and remove what is meant", destroys=True),
            _operation("find_mentions", MentionsRequest, Permission.READ, "items that name somebody, in all vaults"),
            _operation("redact", RedactRequest, Permission.DELETE, "take a name out of all items", destroys=True),
            _operation("hold", RestrictRequest, Permission.ADMIN, "begin or end a legal hold"),
            _operation("freeze", RestrictRequest, Permission.ADMIN, "begin or end a freeze"),
            _operation("sweep", NoRequest, Permission.ADMIN, "delete what has expired", destroys=True),
            _operation("audit", NoRequest, Permission.ADMIN, "every audit entry"),
            _operation("export", Request, Permission.EXPORT, "everything of a subject, in plaintext"),
            _operation("salvage", Request, Permission.ADMIN, "what can be read of a damaged vault"),
            _operation(
                "isolate", IsolateRequest, Permission.ADMIN, "give up what is damaged in a vault", destroys=True
            ),
            _operation("repair", NoRequest, Permission.ADMIN, "rebuild damaged snapshots"),
            _operation("verify", VerifyRequest, Permission.READ, "check everything that is stored"),
            _operation("stats", Request, Permission.READ, "counts"),
        )
    }
)


def execute(memory: Memory, name: str, payload: Mapping[str, Any]) -> Response:
    """Decode a request strictly, run it, and give back what may be shown.

    Raises InvalidInput for an unknown operation, an unknown field or a wrong type; else what the operation raises.
    """
    return Response(name, msgspec.to_builtins(_plain(_run(memory, name, payload))))


def stream(memory: Memory, name: str, payload: Mapping[str, Any]) -> Iterator[Response]:
    """Like `execute` for an operation that yields records (export), one response for each."""
    for record in _run(memory, name, payload):
        yield Response(name, msgspec.to_builtins(record))


def _run(memory: Memory, name: str, payload: Mapping[str, Any]) -> Any:
    operation = OPERATIONS.get(name)
    if operation is None:
        raise InvalidInput(f"unknown operation; known are {', '.join(OPERATIONS)}")
    try:
        request = msgspec.convert(dict(payload), operation.request)
    except msgspec.ValidationError as error:
        # An unknown field's name is the caller's own and stays out of it.
        words = without_values(error)
        raise InvalidInput(f"{name}: " + ("unknown field" if "unknown field" in words else words)) from None
    except UnicodeEncodeError:
        raise InvalidInput(f"{name}: a field holds lone surrogates, which no encoding can keep") from None
    arguments = {field: getattr(request, field) for field in request.__struct_fields__}
    return operation.run(memory, arguments)


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(one) for one in result]
    if isinstance(result, Iterator):
        return [_plain(one) for one in result]
    plain = result.to_dict() if hasattr(result, "to_dict") else result
    if "ok" in dir(result) and isinstance(plain, dict):
        plain["ok"] = result.ok
    return plain


class ErrorMapping(msgspec.Struct, frozen=True):
    """How a kind of error appears outside."""

    exit_code: int
    http_status: int


ERROR_TABLE: Final[Mapping[type[TacitaError], ErrorMapping]] = MappingProxyType(
    {
        errors.InvalidInput: ErrorMapping(2, 400),
        errors.NotFound: ErrorMapping(3, 404),
        errors.AccessDenied: ErrorMapping(4, 403),
        errors.Conflict: ErrorMapping(5, 409),
        errors.Held: ErrorMapping(8, 423),
        errors.Blocked: ErrorMapping(6, 422),
        errors.CallerError: ErrorMapping(7, 400),
        errors.Moved: ErrorMapping(19, 503),
        errors.ConfigError: ErrorMapping(10, 500),
        errors.KeyUnavailable: ErrorMapping(11, 503),
        errors.WrongKey: ErrorMapping(12, 500),
        errors.Tampered: ErrorMapping(13, 500),
        errors.CryptoError: ErrorMapping(17, 500),
        errors.HeadMoved: ErrorMapping(14, 503),
        errors.StoreError: ErrorMapping(14, 503),
        errors.ModelError: ErrorMapping(15, 502),
        errors.KeyProviderError: ErrorMapping(16, 502),
        errors.ProviderError: ErrorMapping(18, 502),
        errors.Overloaded: ErrorMapping(20, 503),
        errors.TacitaError: ErrorMapping(70, 500),
    }
)


def mapping_of(error: TacitaError) -> ErrorMapping:
    """The mapping of the nearest class of an error."""
    return next(ERROR_TABLE[kind] for kind in type(error).__mro__ if kind in ERROR_TABLE)
