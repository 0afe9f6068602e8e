"""The small seams behind which every store, key provider and model lives.

A base class keeps the promises (exact types, sizes, mapped errors); a provider writes the underscored methods.
"""
