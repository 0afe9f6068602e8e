"""Question answering: does a model answer right from what a search found? `python -m benchmarks.answering --help`."""
