"""Keys that documentation and open-source programs publish. They have the right form, and are no secrets."""

from __future__ import annotations

from typing import Final

PUBLISHED: Final = frozenset(
    """
    0b476bdf9acf2123 2037abcaffb2b777 213f90b544c03714 3f370c9dd8225c63 49f777db995e8260 4c98242dcadc8b29
    8731261cb72d8626 a0702bc91d699f60 dc0fcf046c61640c ea9bb1082cf95663 eb540d2b6ee2a0a4
    """.split()
)
"""SHA-256, first 16 hex digits: sample keys of Android, Firebase, NuGet and Mailchimp manuals."""
