"""One file for each way that data takes through Tacita, read from top to bottom. I/O is here; rules are below."""
