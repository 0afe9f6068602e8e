"""Finding memories in one open vault: pure functions over its arrays.

Nothing here reads a file, a clock or the environment, and nothing here logs.
"""
