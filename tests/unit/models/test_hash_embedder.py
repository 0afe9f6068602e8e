"""The fake for tests keeps the contract and is the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from tacita.ports.models import Embedder, checked_embed
from tacita.testing.embedder import HashEmbedder


@pytest.mark.parametrize("dimensions", [8, 64, 384])
def test_it_keeps_the_contract(dimensions: int) -> None:
    embedder = HashEmbedder(dimensions)
    assert isinstance(embedder, Embedder)
    assert embedder.name == f"test:hash/{dimensions}/v1"
    assert checked_embed(embedder, ["the cat sat", "", "...", "\ud800"]).shape == (4, dimensions)


def test_shared_words_make_texts_alike() -> None:
    same, near, far = HashEmbedder(256).embed(["the black cat sat", "The cat sat!", "an invoice from Tuesday"])
    assert same @ near > 0.7
    assert abs(same @ far) < 0.3


def test_vectors_are_frozen() -> None:
    assert np.allclose(
        HashEmbedder().embed(["cat"])[0, :4], [-0.03570917, -0.05062841, 0.16020902, 0.06724746], atol=1e-7
    )
