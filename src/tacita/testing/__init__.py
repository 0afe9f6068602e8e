"""Public fakes and contracts for authors of stores, key providers and models. Nothing here guards real data."""
