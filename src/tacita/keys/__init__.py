"""Key providers: where a root key lives. Each wraps and unwraps vault keys; none of them ever sees data."""
