"""The real model for these tests: where TACITA_MODELS says, or from the installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tacita.models.minilm import MiniLM, holds_model, places

MODELS = Path(os.environ.get("TACITA_MODELS", os.devnull))


@pytest.fixture(scope="session")
def model_folder() -> Path:
    found = next((place for place in places(MODELS) if holds_model(place)), None)
    if found is None:
        pytest.fail("the model is not here: run `make model`, or set TACITA_MODELS to the folder of fetched models")
    return found


@pytest.fixture(scope="session")
def minilm(model_folder: Path) -> MiniLM:
    return MiniLM(model_folder)
