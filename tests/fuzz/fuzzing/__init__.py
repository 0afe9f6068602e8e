"""Targets: one for each parser of stored or foreign bytes. Nothing here needs a fuzzer; `child.py` gives them to one."""
