"""The public suite `agent-memory-integrity`: nine edits at rest, six attacks through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from agmi.attacks.at_rest import AT_REST_ATTACKS_WITH_SNAPSHOT
from agmi.attacks.memory_specific import ALL_MEMORY_ATTACKS
from tests.integrity.suite_adapter import TacitaApi, TacitaAtRest


@pytest.mark.parametrize("attack", AT_REST_ATTACKS_WITH_SNAPSHOT, ids=lambda each: each.name)
def test_every_edit_at_rest_is_rejected_when_memory_is_read(
    attack: type, record_property: Callable[[str, object], None]
) -> None:
    adapter = TacitaAtRest()
    result = attack().run(adapter)
    record_property("cell", "rejected" if result.detected else "accepted")
    assert result.error is None, result.error
    assert result.detected, f"{attack.name} was accepted"


@pytest.mark.parametrize("embedder", ["none", "local:minilm"])
@pytest.mark.parametrize("attack", ALL_MEMORY_ATTACKS, ids=lambda each: each.name)
def test_every_attack_through_the_api_is_kept_out_on_channels_without_the_users_key(
    attack: type, embedder: str, record_property: Callable[[str, object], None]
) -> None:
    adapter = TacitaApi(embedder)
    try:
        result = attack().run(adapter)
    finally:
        adapter.close()
    assert result.error is None, result.error
    outcomes = result.channels or {"all": result.fixtures}
    record_property(
        "cell", ", ".join(f"{name} {sum(map(bool, each))} of {len(each)}" for name, each in outcomes.items())
    )
    for channel, fixtures in outcomes.items():
        assert len(fixtures) == 5
        assert None not in fixtures, f"no verdict on {channel}: the genuine memory was not served"
        if channel != "agent-laundered":
            assert not any(fixtures), f"{attack.name} surfaced on the {channel} channel"
