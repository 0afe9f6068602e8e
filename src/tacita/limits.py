"""Every limit on what a caller may send, in one place. Nothing here does any work."""

from __future__ import annotations

from typing import Final

ID_CHARS: Final = 256
"""Longest tenant, user, agent, app or run id, in characters."""

TEXT_BYTES: Final = 1_048_576
"""Longest text of one item, in UTF-8 bytes. Split documents before adding them."""

METADATA_BYTES: Final = 16_384
"""Largest metadata of one item, in bytes of JSON."""

PICTURE_BYTES: Final = 5_242_880
"""Largest picture that is described, in bytes."""

METADATA_DEPTH: Final = 8
METADATA_KEYS: Final = 128

REASON_CHARS: Final = 500
"""Longest reason of a hold or a freeze."""

NAME_CHARS: Final = 256
"""Longest speaker name, in characters."""

BATCH_MESSAGES: Final = 10_000
"""Most messages in one `add`. `import_` splits by itself."""

BATCH_BYTES: Final = 64 * 1024 * 1024
"""Most UTF-8 bytes of text in one `add`."""

TOP_K: Final = 1_000
PAGE_SIZE: Final = 1_000
QUERY_BYTES: Final = 16_384
SUBJECTS: Final = 16
"""Most subjects that one search may name."""

FILTER_DEPTH: Final = 8
FILTER_TERMS: Final = 256
FILTER_VALUES: Final = 1_000
"""Most values in one `in` or `nin` list."""

IDEMPOTENCY_KEY_CHARS: Final = 256
CONTEXT_BUDGET: Final = 1_000_000
"""Largest token budget of a context block."""

DIMENSIONS: Final = 4_096
"""Most components of an embedding."""

SEGMENTS: Final = 256
"""Most sentence segments embedded for one item."""

SEALED_EVENT_BYTES: Final = 4 * 1024 * 1024
"""Largest sealed event that a store must take."""

SNAPSHOT_PART_BYTES: Final = 1024 * 1024
"""Plaintext bytes of one sealed snapshot part."""

VAULT_EVENTS: Final = 2**32 - 1
"""Most events in the life of one vault: a sequence number fits in 32 bits."""

ANSWER_CHARS: Final = 1_000_000
"""Characters of a language model's answer that are read."""

FACTS: Final = 100
"""Facts that are taken from one answer."""

FACT_CHARS: Final = 2_000
"""Characters of one fact."""
