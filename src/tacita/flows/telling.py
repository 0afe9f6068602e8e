"""How words leave for a model: the vault's consent and names, the operator's terms, a durable audit entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tacita.access.principal import Principal
from tacita.disclosed import Disclosed, Picture
from tacita.errors import ConfigError, Held
from tacita.flows.engine import Engine, State, Vault, subject_of
from tacita.items import Scope
from tacita.ports.models import checked_embed, checked_embed_disclosed
from tacita.privacy.disclose import Request, disclose
from tacita.privacy.pseudonyms import Pseudonyms
from tacita.vault.events import ConsentSet
from tacita.vault.vault import Change


def pseudonyms_of(engine: Engine, vault_id: bytes) -> Pseudonyms:
    """Fresh stand-ins for one request about a vault, which need not exist yet."""
    return Pseudonyms(lambda value: engine.keys.stand_in_tag(vault_id, value))


def tell(
    engine: Engine,
    principal: Principal,
    vault: Vault,
    provider: str,
    operation: str,
    texts: Sequence[str],
    *,
    pseudonyms: Pseudonyms,
    instructions: str = "",
    compose: Callable[[Sequence[str]], str] | None = None,
    pictures: Sequence[Picture] = (),
) -> Disclosed:
    """`privacy.disclose` for one vault. The audit entry is on disk before this returns.

    Raises AccessDenied and Blocked, as `disclose`, and Held when the subject is frozen.
    """
    with vault.lock:
        frozen = "freeze" in vault.state.rare.restricted
        consent = vault.state.rare.consent
        names = frozenset(vault.state.index.names.known)

    def audit(operation: str, outcome: str, count: int) -> None:
        engine.audit.record(
            principal.actor,
            f"disclose:{operation}:{provider}",
            outcome,
            vault_id=vault.keys.vault_id,
            items=count,
            purpose=principal.purpose,
        )
        engine.audit.flush()

    if frozen:
        audit(operation, "denied", 0)
        raise Held("this subject is frozen: nothing of it is told to a model")
    return disclose(
        Request(provider, operation, principal.purpose, consent, names),
        texts,
        instructions=instructions,
        policy=engine.policy,
        terms=engine.terms,
        pseudonyms=pseudonyms,
        audit=audit,
        compose=compose,
        find=engine.find_personal,
        pictures=pictures,
    )


def embedded(engine: Engine, principal: Principal, vault: Vault, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of some texts of a vault, by the local embedder, or by a remote one that is told them."""
    if engine.remote is not None:
        stand_ins = pseudonyms_of(engine, vault.keys.vault_id)
        told = tell(engine, principal, vault, engine.remote.name, "embed", texts, pseudonyms=stand_ins)
        return checked_embed_disclosed(engine.remote, told)
    if engine.local is None:
        raise ConfigError("there is no embedder")
    return checked_embed(engine.local, texts)


def consent(engine: Engine, principal: Principal, scope: Scope, models: bool | None) -> bool | None:
    """Record whether models elsewhere may be told about a subject, or only say what is recorded."""
    if models is None:
        vault = engine.find(scope)
        return None if vault is None else vault.state.rare.consent
    given = bool(models)

    def decide(state: State) -> Change[bool]:
        event = ConsentSet(at=engine.clock(), actor=principal.actor, purpose=principal.purpose, models=given)
        return Change(given, [] if state.rare.consent is given else [event])

    return engine.vaults.get(scope.tenant, subject_of(scope)).transact(decide)
