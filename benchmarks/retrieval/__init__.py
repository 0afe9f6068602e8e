"""Retrieval: does a search find the messages that hold the answer? `python -m benchmarks.retrieval --help`."""
