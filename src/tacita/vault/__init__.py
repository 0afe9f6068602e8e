"""Vaults: the sealed format, keys, the fold of events to items, snapshots, and the cache of open vaults."""
