"""The surfaces: how people and programs reach a memory from outside. They render `Response` objects, nothing else."""
