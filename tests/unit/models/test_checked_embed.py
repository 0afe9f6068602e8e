"""Whatever a foreign embedder does, the engine gets unit rows or an error without text."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tacita.errors import ConfigError, ModelError
from tacita.ports.models import Embedder, checked_embed

SECRET = "penicillin-4711"


class Foreign:
    def __init__(self, give: Callable[[list[str]], object], name: object = "test:foreign", dimensions: object = 2):
        self.give, self.name, self.dimensions = give, name, dimensions

    def embed(self, texts: list[str], /) -> NDArray[np.float32]:
        return self.give(texts)  # type: ignore[return-value]


def rows(count: int, dimensions: int = 2, value: float = 1.0) -> NDArray[np.float32]:
    made = np.zeros((count, dimensions), np.float32)
    made[:, 0] = value
    return made


def test_good_rows_pass_and_are_contiguous() -> None:
    embedder = Foreign(lambda texts: np.asfortranarray(rows(len(texts))))
    assert isinstance(embedder, Embedder)
    checked = checked_embed(embedder, (SECRET, "b", "c"))
    assert checked.shape == (3, 2)
    assert checked.flags.c_contiguous
    assert checked_embed(embedder, []).shape == (0, 2)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda texts: rows(len(texts) + 1), r"shape \(3, 2\) for 2 texts of 2 dimensions"),
        (lambda texts: rows(len(texts), 3), r"shape \(2, 3\)"),
        (lambda texts: rows(len(texts))[0], r"shape \(2,\)"),
        (lambda texts: rows(len(texts)).astype(np.float64), "gave float64, not a float32 array"),
        (lambda texts: rows(len(texts)).tolist(), "gave list"),
        (lambda texts: texts, "gave list"),
        (lambda texts: None, "gave NoneType"),
        (lambda texts: rows(len(texts), value=np.nan), "2 of 2 rows are not finite"),
        (lambda texts: rows(len(texts), value=np.inf), "2 of 2 rows"),
        (lambda texts: rows(len(texts), value=3e38), "2 of 2 rows"),
        (lambda texts: rows(len(texts), value=0.0), "2 of 2 rows"),
        (lambda texts: rows(len(texts), value=1.002), "2 of 2 rows"),
        (lambda texts: np.concatenate([rows(1), rows(1, value=0.9)]), "1 of 2 rows"),
    ],
)
def test_a_broken_contract_is_a_model_error(give: Callable[[list[str]], object], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        checked_embed(Foreign(give), [SECRET, "b"])
    assert "test:foreign" in str(caught.value)


@pytest.mark.parametrize("name", ["", "x" * 257, "two\nlines", None, 7])
def test_a_name_must_be_fit_to_be_kept_for_ever(name: object) -> None:
    with pytest.raises(ModelError, match="an embedder's name"):
        checked_embed(Foreign(lambda texts: rows(len(texts)), name=name), ["a"])


@pytest.mark.parametrize("dimensions", [0, -1, 4097, 2.0, True, None])
def test_dimensions_must_be_a_number_in_range(dimensions: object) -> None:
    with pytest.raises(ModelError, match="dimensions must be"):
        checked_embed(Foreign(lambda texts: rows(len(texts)), dimensions=dimensions), ["a"])


@pytest.mark.parametrize(("kind", "retryable"), [(ValueError, False), (TimeoutError, True), (ConnectionError, True)])
def test_a_foreign_exception_takes_no_text_along(kind: type[Exception], retryable: bool) -> None:
    def fail(texts: list[str]) -> object:
        raise kind(f"cannot embed {texts!r}")

    with pytest.raises(ModelError) as caught:
        checked_embed(Foreign(fail), [SECRET])
    error = caught.value
    assert error.retryable is retryable
    assert str(error) == f"embedder test:foreign failed on 1 texts: {kind.__name__}"
    assert error.__cause__ is None
    assert error.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(error))


def test_what_the_operator_must_do_passes_through() -> None:
    def fail(texts: list[str]) -> object:
        raise ConfigError("run `tacita models fetch`")

    with pytest.raises(ConfigError, match="models fetch"):
        checked_embed(Foreign(fail), [SECRET])


def test_an_interrupt_is_not_a_model_error() -> None:
    def fail(texts: list[str]) -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked_embed(Foreign(fail), [SECRET])
