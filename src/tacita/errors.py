"""The whole error tree, grouped by who must act.

Messages carry ids, counts and what to do next. They never carry the text, the query, the metadata or the key
that was being handled: an error ends up in logs, tickets and other people's screens.
"""

from __future__ import annotations


class TacitaError(Exception):
    """Base of every error that Tacita raises on purpose."""

    code = "error"
    retryable = False


class ConfigError(TacitaError):
    """The operator must act: a setting, a path, a missing model or key provider."""

    code = "config"


class Moved(ConfigError):
    """The memory is moved to another store, or was: this one takes and shows nothing more. Says where it went."""

    code = "moved"


class Overloaded(TacitaError):
    """This process has no room for what was asked just now. Nothing was done: try again, here later or on another worker."""

    code = "overloaded"
    retryable = True


class CallerError(TacitaError):
    """The caller must act: the request cannot be served as it stands."""

    code = "caller"


class InvalidInput(CallerError):
    """An argument is malformed, too large or unknown. Nothing was written."""

    code = "invalid_input"


class NotFound(CallerError):
    """No such item in this scope. An item of somebody else looks exactly the same as a missing one."""

    code = "not_found"


class Conflict(CallerError):
    """The request contradicts what is already there (an idempotency key reused for different content)."""

    code = "conflict"


class AccessDenied(CallerError):
    """The principal may not do this."""

    code = "access_denied"


class Held(CallerError):
    """A legal hold keeps this from being deleted, or a freeze keeps it from being read."""

    code = "held"


class Blocked(CallerError):
    """A policy refuses the content."""

    code = "blocked"


class CryptoError(TacitaError):
    """Keys or sealed data are not as they must be. Never retried silently, never worked around."""

    code = "crypto"


class KeyUnavailable(CryptoError):
    """The key exists elsewhere or nowhere; without it the vault is noise.

    Retryable when the service that holds it is down or busy; not when it says no: disabled, deleted, denied.
    """

    code = "key_unavailable"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class WrongKey(CryptoError):
    """The key that was given does not open this."""

    code = "wrong_key"


class Tampered(CryptoError):
    """Sealed data was changed, removed, reordered, replayed or rolled back behind our back."""

    code = "tampered"


class ProviderError(TacitaError):
    """A part outside the engine failed: a store, a model, a key service."""

    code = "provider"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class StoreError(ProviderError):
    """The log store or the key ring store failed."""

    code = "store"


class HeadMoved(StoreError):
    """Compare-and-set lost: another writer appended first. Read the tail and try again."""

    code = "head_moved"

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


class ModelError(ProviderError):
    """An embedder, reranker or language model failed or broke its contract."""

    code = "model"


class KeyProviderError(ProviderError):
    """A key provider failed."""

    code = "key_provider"
