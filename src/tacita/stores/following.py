"""One log store, or one key ring, brought to what another holds, vault by vault: all is copied as it is, nothing is opened.

A vault that did not change costs one comparison of heads. Each vault is one transaction, so whatever cuts this short leaves
a store in which every vault is whole, as of before or as of now. What was purged or dropped there goes here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from msgspec import structs

from tacita.ports.keys import KeyRing
from tacita.ports.log import LogStore
from tacita.sealed import CopyCounts, RingEntry, SealedEvent, SealedRow, VaultHead, moved


def follow(
    copy: LogStore, source: LogStore, progress: Callable[[int, int | None], None] = lambda _done, _total: None
) -> CopyCounts:
    """Make `copy` hold every vault as `source` does. Snapshots are not copied. Nothing else may write to `copy`.

    `progress` is called with (vaults done, None).
    """
    unchanged = written = dropped = 0
    wanted = set[bytes]()
    for head in source.vaults():
        progress(len(wanted), None)
        wanted.add(head.vault_id)
        if copy.head(head.vault_id) == head:
            unchanged += 1
        elif _copy_vault(copy, source, head.vault_id):
            written += 1
    for gone in [head for head in copy.vaults() if head.vault_id not in wanted]:
        # Dropped there since, or made there after we looked; then the next time brings it.
        copy.drop(gone.vault_id, epoch=gone.epoch)
        dropped += 1
    return CopyCounts(unchanged, written, dropped)


def _copy_vault(copy: LogStore, source: LogStore, vault_id: bytes) -> bool:
    """False if the vault is gone from the source."""
    while True:
        head = source.head(vault_id)
        if head is None:
            return False
        rows = list(source.read(vault_id))
        after = source.head(vault_id)
        if rows and after is not None and after.epoch == head.epoch:  # else it became another one while we read
            break
    kept = copy.head(vault_id)
    if kept is not None and (kept.epoch != head.epoch or kept.seq >= len(rows)):
        # Another life of the vault, or a later moment of it, which a copy is put back over.
        copy.drop(vault_id, epoch=kept.epoch)
        kept = None
    events = [moved(row) for row in rows]
    more = [each for each in events[kept.seq if kept else 0 :] if isinstance(each, SealedEvent)]
    if kept is not None and len(more) == len(events) - kept.seq and _goes_on(copy.read(vault_id), rows):
        copy.append(vault_id, kept.seq, more, epoch=head.epoch, format=head.format)
    else:
        copy.replace(vault_id, kept or VaultHead(vault_id, head.format, 0, head.epoch), events, epoch=head.epoch)
    return True


def _goes_on(kept: Iterator[SealedRow], rows: list[SealedRow]) -> bool:
    """Whether a log is the same up to where it ends, with the same places purged."""
    return all(
        (mine.digest, mine.sealed is None) == (row.digest, row.sealed is None)
        for mine, row in zip(kept, rows, strict=False)
    )


def follow_ring(copy: KeyRing, source: KeyRing, *, but: Container[str] = ()) -> int:
    """Make `copy` hold every setting, tombstone and entry as `source` does; how many entries were written.

    Settings named in `but` are each ring's own. Nothing else may write to `copy`, and no key may be waiting to follow another
    in `source`. What changes there meanwhile is brought by the next time.
    """
    wanted = {name: value for name, value in source.settings() if name not in but}
    for name, value in wanted.items():
        kept = copy.setting(name)
        if kept != value:
            copy.swap_setting(name, kept, value)
    for name in [name for name, _ in copy.settings() if name not in wanted and name not in but]:
        copy.drop_setting(name)
    buried = set(copy.tombstones())
    for vault_id in source.tombstones():
        if vault_id not in buried and not copy.shred(vault_id):
            copy.bury(vault_id)
    written = sum(_copy_entry(copy, entry) for entry in source.entries())
    copy.settle()
    return written


def _copy_entry(copy: KeyRing, entry: RingEntry) -> bool:
    """False if it is there already."""
    kept = copy.get(entry.vault_id)
    if kept == entry:
        return False
    if kept is not None and kept.anchor.seq < entry.anchor.seq and structs.replace(kept, anchor=entry.anchor) == entry:
        copy.advance(entry.vault_id, entry.anchor)
        return True
    # Another key, a key wrapped anew, or a copy that went on by itself: this one takes its place as a whole.
    copy.shred(entry.vault_id)
    copy.create(entry)
    return True
